"""The `cloister` command. Data goes to standard output, talk to standard error; `--json` is for machines."""
