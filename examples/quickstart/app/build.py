"""The build step: bakes the build id into what the release serves."""

import json
import os
import pathlib

build = os.environ["DEPLOY_BUILD_ID"]
pathlib.Path("public").mkdir(exist_ok=True)
pathlib.Path("public/version.json").write_text(json.dumps({"commit": build}))
page = pathlib.Path("page.html").read_text()
pathlib.Path("public/index.html").write_text(page.replace("BUILD", build))
print("built", build[:19])
