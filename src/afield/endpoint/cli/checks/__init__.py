"""What ``afield endpoint doctor`` looks at, a file for each place: the machine, the network, a task's way."""
