# Packs a tree with links and modes, unpacks it elsewhere, compares.
mkdir -p tree/sub
echo one > tree/sub/file
ln -s sub/file tree/link
chmod 640 tree/sub/file
$RUN tar -czf tree.tar.gz tree
mkdir out
$RUN tar -xzf tree.tar.gz -C out
diff -r tree out/tree && stat -c %a out/tree/sub/file
$RUN tar -tzf tree.tar.gz | sort
