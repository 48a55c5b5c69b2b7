"""The commands of ``collm``, one module each; ``main(arguments)`` returns the exit status."""
