# Runs three tasks as a group. One fails, and the others end for it.

import asyncio


async def work():
    try:
        await asyncio.sleep(3600)
    finally:
        print("work is cleaned up")


async def fail():
    await asyncio.sleep(0.01)
    raise ValueError("out of luck")


async def main():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            group.create_task(work())
            group.create_task(fail())
    except* ValueError as failed:
        print("failed:", *failed.exceptions)


asyncio.run(main())
