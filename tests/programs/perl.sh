# Files, a pipe to a child, sorting.
$RUN perl -e '
open(my $out, ">", "list") or die "open: $!";
print $out "b\na\n";
close $out;
open(my $in, "-|", "sort", "list") or die "fork: $!";
print while <$in>;
close $in;
unlink "list" or die "unlink: $!";
print "done\n";'
