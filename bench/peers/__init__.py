"""Servers that do what taskwell does, each as its community writes it, and what measures them side by side.

Each folder here is a peer. It is copied to `bench/.peers` and installed there when it is first needed.
"""
