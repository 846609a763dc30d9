"""The operations of the simulated MMS."""
