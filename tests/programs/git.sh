# A repository with a commit, cloned over the local transport.
export HOME="$PWD" GIT_CONFIG_NOSYSTEM=1
$RUN git init -q -b main one
echo text > one/file
$RUN git -C one add file
$RUN git -C one -c user.name=t -c user.email=t@example.org commit -q -m first
$RUN git clone -q one two
$RUN git -C two log --format=%s
cat two/file
