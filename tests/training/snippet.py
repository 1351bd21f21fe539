"""Runs the Python code that is its argument: `python -m training.snippet CODE`."""

import sys

if __name__ == "__main__":
    exec(sys.argv[1])
