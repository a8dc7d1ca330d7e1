"""Who computes: processes of this machine, Ray, torch models; one framework a file.

They run functions, and know nothing of codes or calls.
"""
