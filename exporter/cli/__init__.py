"""The command line: flags, commands, demo. The only package that reads the environment."""
