"""The benchmarks behind the tables of docs/explanation/measurements.md: each module prints one."""
