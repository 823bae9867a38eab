# Computes on a pool of its own, and takes a call back that has not begun.

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor


def squares(end):
    return sum(number * number for number in range(end))


async def main():
    loop = asyncio.get_running_loop()
    go_on = threading.Event()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="compute") as pool:
        first = loop.run_in_executor(pool, go_on.wait)
        second = loop.run_in_executor(pool, squares, 1_000)
        third = loop.run_in_executor(pool, squares, 10_000)
        if third.cancel():
            print("the third call is taken back")
        go_on.set()
        await first
        print("the sum of squares:", await second)


asyncio.run(main())
