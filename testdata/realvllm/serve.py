"""vLLM's own load generator without its command line, which some builds leave out."""

import argparse
import asyncio

from vllm.benchmarks.serve import add_cli_args, main_async

parser = argparse.ArgumentParser()
add_cli_args(parser)
asyncio.run(main_async(parser.parse_args()))
