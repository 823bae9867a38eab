# A thread has the loop run a coroutine, and waits for its result.

import asyncio
import threading


async def double(number):
    await asyncio.sleep(0.01)
    return 2 * number


def ask(loop, answers):
    answers.append(asyncio.run_coroutine_threadsafe(double(21), loop).result())


async def main():
    answers = []
    thread = threading.Thread(target=ask, args=(asyncio.get_running_loop(), answers))
    thread.start()
    await asyncio.to_thread(thread.join)
    print("the thread received", *answers)


asyncio.run(main())
