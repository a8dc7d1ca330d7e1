"""The demo: real digits, a real network, real worker processes of which some fail.

It uses what users can, and defines nothing that anybody else imports.
"""
