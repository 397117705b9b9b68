"""What the machine code of the recurrence kernels says of the time of a step: `python -m bench.sass`."""
