"""Service and endpoint on one machine: `afield up` and `afield demo`. The only floor that imports both."""
