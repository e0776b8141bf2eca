"""Foreign policy files, read a second time, to check `callgate import` by.

Every reader here turns a file into a Reading: which ABIs it speaks for, and a function that decides
one call as the format's runtime does, evaluated straight from the file. Nothing is optimised, nothing
is shared with the C++ readers but the tables of numbers and constants (data/). Return values are
SECCOMP_RET_* words.
"""

from foreign_containers import read_firecracker, read_oci_file, read_spo
from foreign_sandboxes import read_kafel, read_minijail, read_systemd

READERS = {"oci": read_oci_file, "docker": read_oci_file, "spo": read_spo, "firecracker": read_firecracker,
           "minijail": read_minijail, "kafel": read_kafel, "systemd": read_systemd}
