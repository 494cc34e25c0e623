"""One errand with aioftp: PORT List|Get|Resume|Put|Mget."""

import asyncio
import os
import sys

import aioftp

port, errand = sys.argv[1:]
main = "/signatures/main.fwdb"


async def run():
    async with aioftp.Client.context("127.0.0.1", int(port), socket_timeout=20) as client:
        if errand == "List":
            for path, _ in await client.list("/policies"):
                print(path.name)
        elif errand == "Get":
            await client.download(main, "main.fwdb", write_into=True)
        elif errand == "Resume":
            offset = os.path.getsize("main.fwdb")
            async with client.download_stream(main, offset=offset) as stream:
                with open("main.fwdb", "ab") as file:
                    async for block in stream.iter_by_block():
                        file.write(block)
        elif errand == "Put":
            async with client.upload_stream("/upload/aioftp/mwav.log") as stream:
                with open("mwav.log", "rb") as file:
                    await stream.write(file.read())
        elif errand == "Mget":
            await client.download("/policies", "into", write_into=True)


asyncio.run(run())
