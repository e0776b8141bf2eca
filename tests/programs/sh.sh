# A script with its own first line, pipes, a subshell, a here document, and programs looked up in PATH.
printf '#!/bin/sh -e\nwhile read -r line; do echo "$1 $line"; done\n' > each
chmod 755 each
$RUN sh -c 'ls each | ./each found; (cat <<END
here
END
) | tr a-z A-Z; command -v none || echo none'
$RUN ./each again < each
