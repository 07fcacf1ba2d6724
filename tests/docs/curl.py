"""The part of curl that the pages use, for machines without it."""

import argparse
import sys

import httpx2


def main() -> int:
    parser = argparse.ArgumentParser(prog="curl")
    parser.add_argument("url")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-i", dest="include", action="store_true")
    parser.add_argument("--json", dest="json")
    arguments = parser.parse_args()
    headers = dict(header.split(": ", 1) for header in arguments.headers)
    if arguments.json is not None:
        headers |= {"Content-Type": "application/json", "Accept": "application/json"}
    method = arguments.method or ("GET" if arguments.json is None else "POST")
    answer = httpx2.request(method, arguments.url, content=arguments.json, headers=headers)
    if arguments.include:
        sys.stdout.write("".join(f"{name}: {value}\n" for name, value in answer.headers.items()) + "\n")
    sys.stdout.write(answer.text)
    return 22 if answer.is_error else 0


if __name__ == "__main__":
    sys.exit(main())
