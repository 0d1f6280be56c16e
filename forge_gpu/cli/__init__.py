"""The command line: a file for each command.

Here: options, what is printed, exit codes. Not here: anything that a program could want too; that belongs
into `library` or the room that it is about.
"""
