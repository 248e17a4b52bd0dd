"""Writers that are killed with `kill -9`: at every system call they make on the store's files, and at any moment."""
