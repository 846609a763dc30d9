"""One module for each collector: it reads an operation of MMS into the snapshot."""
