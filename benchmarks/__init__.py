"""The benchmarks behind the tables of README.md: each module prints one."""
