"""Build hook: compiles the Rust tool server and ships it as a script of the wheel.

Scripts are installed beside the Python executable, so that the server finds its tool
server without a search path. An editable install builds and ships it the same way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BINARY = "opencode-tool-server" + sysconfig.get_config_var("EXE")


class ToolServerBuildHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        crate = Path(self.root) / "core" / "tool-server"
        cargo = shutil.which("cargo")
        if cargo is None:
            raise RuntimeError(
                "cargo was not found: the tool server is written in Rust. Install Rust 1.90 or "
                "newer (rustup.rs, or your system's packages) and run this again."
            )
        subprocess.run([cargo, "build", "--release", "--locked"], cwd=crate, check=True)
        target = Path(os.environ.get("CARGO_TARGET_DIR", crate / "target"))
        built = target / "release" / BINARY
        build_data["shared_scripts"][str(built)] = BINARY
        build_data["pure_python"] = False
        build_data["infer_tag"] = False
        build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(
            ".", "_"
        )
