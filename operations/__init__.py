"""The operators' command line: where is it, why is it stuck, and what frees it. It moves no money."""
