"""The contracts every part of the system agrees on. No drivers, no I/O: values and tables only."""
