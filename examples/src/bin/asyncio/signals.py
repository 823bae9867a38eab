# Ends at SIGTERM, which the program sends itself.

import asyncio
import os
import signal


async def main():
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    print("running")
    loop.call_later(0.01, os.kill, os.getpid(), signal.SIGTERM)
    await stop.wait()
    print("stopped")


asyncio.run(main())
