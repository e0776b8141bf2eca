# A virtual environment without pip, and a module in it.
$RUN python3 -m venv --without-pip env
echo 'print("from the environment")' > "$(echo env/lib/python3*/site-packages)/greeting.py"
$RUN env/bin/python -m greeting
$RUN env/bin/python -c 'import sys; print(sys.prefix == sys.base_prefix, len(sys.path))'
ls env/bin
