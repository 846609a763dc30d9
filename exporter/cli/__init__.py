"""The command line: flags, commands, the demo. The only package that reads the environment."""
