# Three workers share the jobs of a queue.

import asyncio


async def worker(queue, done):
    while True:
        job = await queue.get()
        await asyncio.sleep(0)
        done.append(job * job)
        queue.task_done()


async def main():
    queue = asyncio.Queue()
    done = []
    for job in range(1, 10):
        queue.put_nowait(job)
    workers = [asyncio.create_task(worker(queue, done)) for _ in range(3)]
    await queue.join()
    for task in workers:
        task.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    print(len(done), "jobs are done:", sorted(done))


asyncio.run(main())
