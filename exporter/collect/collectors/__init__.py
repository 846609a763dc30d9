"""One module per collector: reads operations of MMS into the source states."""
