"""Tests of the client of the MMS API."""
