"""Any MCP client can use the tool server: here, the official one for Python."""

from __future__ import annotations

from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from core.tool_server.client import binary


async def test_the_official_client_lists_and_calls_the_tools(tree: Path) -> None:
    parameters = StdioServerParameters(command=binary(), args=["--root", str(tree)])
    async with (
        stdio_client(parameters) as (reader, writer),
        ClientSession(reader, writer) as session,
    ):
        hello = await session.initialize()
        assert hello.server_info.name == "opencode-tool-server"
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert "pattern" in tools["grep"].input_schema["properties"]
        result = await session.call_tool("grep", {"pattern": "load", "globs": ["src/*.py"]})
        assert not result.is_error
        assert result.structured_content is not None
        paths = {match["path"] for match in result.structured_content["matches"]}
        assert paths == {"src/app.py"}
        await session.send_ping()
