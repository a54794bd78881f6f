"""What is in deploy/ is checked as far as this machine can: by the programs that read it, where they are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from afield.service.configuration import read_settings
from afield.service.settings import Settings

pytestmark = pytest.mark.e2e

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE, CHART = DEPLOY / "compose", DEPLOY / "helm" / "afield"
TEMPLATES = sorted((CHART / "templates").iterdir())


def needs(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"needs {program}")
    return found


def run(*command: object, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin:/bin"} | environment
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


class TestSettings:
    """Each file of settings is one that `afield serve` takes, with the variables that its surroundings set."""

    def test_of_systemd(self):
        text = (DEPLOY / "systemd" / "service.toml").read_text()
        text = text.replace("# database", "database")
        settings = Settings(**read_settings(text, "service.toml", {"AFIELD_DATABASE_PASSWORD": "x"}))
        unit = (DEPLOY / "systemd" / "afield.service").read_text()
        assert settings.data_dir.parent == Path("/var/lib/afield")
        assert "StateDirectory=afield\n" in unit
        assert int(re.search(r"LimitNOFILE=(\d+)", unit)[1]) > settings.limits.connections
        assert int(re.search(r"TimeoutStopSec=(\d+)", unit)[1]) > settings.limits.goodbye_s + 10

    def test_of_compose(self):
        said = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
        environment = said["services"]["afield1"]["environment"]
        settings = Settings(**read_settings((COMPOSE / "service.toml").read_text(), "s", environment))
        front = said["services"]["front"]["networks"]["inside"]["ipv4_address"]
        assert settings.proxies == (front,)
        assert settings.data_dir_is_shared
        assert "state:/var/lib/afield" in said["services"]["afield1"]["volumes"]

    def test_of_helm(self):
        template = (CHART / "templates" / "configmap.yaml").read_text()
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        text = template.partition("service.toml: |\n")[2].replace("{{- .Values.settings | nindent 4 }}", "")
        text = text.replace("{{ .Values.host }}", values["host"]).replace("{{ .Values.proxies | toJson }}", "[]")
        text = text.replace("{{ .Values.queuesUrl | toJson }}", f'"{values["queuesUrl"]}"')
        text = re.sub(r"^    ", "", text, flags=re.MULTILINE) + values["settings"]
        deployment = (CHART / "templates" / "deployment.yaml").read_text()
        names = set(re.findall(r"name: (AFIELD_\w+)", deployment))
        assert names == set(re.findall(r"\$\{(\w+)\}", text))
        settings = Settings(**read_settings(text, "s", dict.fromkeys(names, "x")))
        assert settings.limits.payload_bytes == 10_000_000
        assert not settings.data_dir_is_shared


class TestSystemd:
    @pytest.mark.parametrize("unit", ["afield.service", "afield-backup.service", "afield-backup.timer"])
    def test_units(self, tmp_path, unit):
        program = needs("systemd-analyze")
        for path in (DEPLOY / "systemd").glob("afield*"):
            # Only what is installed can be verified.
            text = path.read_text().replace("/opt/afield/bin/afield", shutil.which("true") or "/bin/true")
            (tmp_path / path.name).write_text(text)
        said = run(program, "verify", "--man=no", tmp_path / unit)
        ours = [line for line in said.splitlines() if "afield" in line]
        assert ours == []

    def test_the_unit_gives_nothing_away_needlessly(self, tmp_path):
        """systemd's own opinion of how much a service could do if it were taken over, from 0 to 10."""
        program = needs("systemd-analyze")
        text = (DEPLOY / "systemd" / "afield.service").read_text().replace("/opt/afield/bin/afield", "/bin/true")
        (tmp_path / "afield.service").write_text(text)
        done = subprocess.run(
            [program, "security", "--offline=true", "--threshold=30", tmp_path / "afield.service"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        if "unrecognized option" in done.stderr:
            pytest.skip("needs a systemd that can look at a file")
        assert done.returncode == 0, done.stdout[-500:]


class TestFronts:
    def test_caddy(self, tmp_path):
        program = needs("caddy")
        for path in (DEPLOY / "front" / "Caddyfile", COMPOSE / "Caddyfile"):
            text = path.read_text()
            for upstream in ("afield1:5000", "afield2:5000"):
                text = text.replace(upstream, "127.0.0.1:5000")
            (tmp_path / "Caddyfile").write_text(text)
            said = run(program, "validate", "--adapter", "caddyfile", "--config", tmp_path / "Caddyfile",
                       AFIELD_HOST="compute.example.org", HOME=str(tmp_path))  # fmt: skip
            assert "Valid configuration" in said
            assert "not formatted" not in said

    def test_nginx(self, tmp_path):
        program = needs("nginx")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x",
            "-keyout", tmp_path / "privkey.pem", "-out", tmp_path / "fullchain.pem")  # fmt: skip
        site = (DEPLOY / "front" / "nginx.conf").read_text().replace("/etc/ssl/afield", str(tmp_path))
        (tmp_path / "site.conf").write_text(site)
        (tmp_path / "nginx.conf").write_text(
            f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}} http {{ access_log off; include site.conf; }}"
        )
        said = run(program, "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf")
        assert "test is successful" in said

    @pytest.mark.parametrize("path", ["front/nginx.conf", "front/Caddyfile", "compose/Caddyfile"])
    def test_what_is_for_those_inside_stays_there(self, path):
        text = (DEPLOY / path).read_text()
        assert all(name in text for name in ("metrics", "ready", "health", "healthz"))

    def test_bodies_and_waits_are_as_the_service_has_them(self):
        limits = Settings(data_dir=Path("/x")).limits
        text = (DEPLOY / "front" / "nginx.conf").read_text()
        assert int(re.search(r"client_max_body_size (\d+)m", text)[1]) * 2**20 >= limits.request_bytes
        assert int(re.search(r"proxy_read_timeout (\d+)s", text)[1]) > limits.start_wait_s


class TestCompose:
    def test_it_is_whole(self):
        said = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
        services = said["services"]
        assert set(services) == {"postgres", "rabbitmq", "afield1", "afield2", "front"}
        for name, service in services.items():
            assert {"image", "restart", "networks"} <= set(service), name
            for other, how in service.get("depends_on", {}).items():
                assert how["condition"] == "service_healthy"
                assert "healthcheck" in services[other] or other.startswith("afield")  # theirs is in the image
            for volume in service.get("volumes", ()):
                source = volume.split(":")[0]
                assert source in said["volumes"] or source == "./tls" or (COMPOSE / source).exists(), volume
        published = {name for name, service in services.items() if "ports" in service}
        assert published == {"front", "rabbitmq"}, "the database and the plain ports are nobody else's business"

    def test_every_variable_is_explained(self):
        used = set(re.findall(r"\$\{(\w+)", (COMPOSE / "compose.yaml").read_text()))
        assert used == set(re.findall(r"^(\w+)=", (COMPOSE / ".env.example").read_text(), re.MULTILINE))

    def test_by_compose_itself(self, tmp_path):
        program = needs("docker")
        if subprocess.run([program, "compose", "version"], capture_output=True).returncode != 0:
            pytest.skip("needs docker's compose plugin")
        run(program, "compose", "--env-file", COMPOSE / ".env.example", "--file", COMPOSE / "compose.yaml", "config")


class TestHelm:
    def test_by_helm_itself(self):
        program = needs("helm")
        run(program, "lint", "--strict", CHART)
        run(program, "template", "x", CHART)

    def test_the_chart_says_what_it_is(self):
        said = yaml.safe_load((CHART / "Chart.yaml").read_text())
        project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
        assert (said["apiVersion"], said["name"], said["type"]) == ("v2", "afield", "application")
        assert said["version"] == said["appVersion"] == project["version"]
        assert yaml.safe_load((CHART / "values.yaml").read_text())["image"]["tag"] == project["version"]

    @pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
    def test_templates(self, path):
        """Their braces and blocks match, and each value that they use has a default."""
        text = path.read_text()
        actions = re.findall(r"\{\{-?\s*(.*?)\s*-?\}\}", text, re.DOTALL)
        assert text.count("{{") == text.count("}}") == len(actions)
        opened = sum(action.split()[0] in {"if", "range", "define", "with"} for action in actions)
        assert opened == sum(action == "end" for action in actions)
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        for used in set(re.findall(r"\.Values\.([\w.]+)", text)):
            found = values
            for name in used.split("."):
                assert name in found, f"{path.name} uses .Values.{used}, and values.yaml does not say it"
                found = found[name]
        named = set(re.findall(r'include "([^"]+)"', text))
        defined = set(re.findall(r'define "([^"]+)"', (CHART / "templates" / "_names.tpl").read_text()))
        assert named <= defined

    @pytest.mark.parametrize("path", [path for path in TEMPLATES if path.suffix == ".yaml"], ids=lambda path: path.name)
    def test_what_they_make_is_yaml(self, path):
        """With a stand-in for each value. Indentation, keys and lists are as they will be."""
        text = re.sub(r"^\s*\{\{-?\s*(if|range|end|else).*\}\}\s*$\n?", "", path.read_text(), flags=re.MULTILINE)
        text = re.sub(r"\s\{\{- (include|toYaml)[^}]*nindent[^}]*\}\}", " {a: b}", text)
        text = re.sub(r"^\s*\{\{-[^}]*nindent[^}]*\}\}$", "", text, flags=re.MULTILINE)
        text = re.sub(r"\{\{[^}]*\}\}", "7", text)
        for made in yaml.safe_load_all(text):
            assert {"apiVersion", "kind", "metadata"} <= set(made)

    def test_probes_ask_what_is_right(self):
        text = (CHART / "templates" / "deployment.yaml").read_text()
        assert re.search(r"livenessProbe:\s+httpGet: { path: /health,", text)
        assert re.search(r"readinessProbe:\s+httpGet: { path: /ready,", text)

    def test_the_ingress_lets_every_route_in_but_the_operators(self):
        from afield.service.api.routes import ROUTES

        text = (CHART / "templates" / "ingress.yaml").read_text()
        prefixes, exact = re.findall(r'"(/[\w.-]+)"', text), re.findall(r"path: (\S+)\n\s+pathType: Exact", text)
        left_out = {route.path for route in ROUTES if not route.path.startswith(tuple(prefixes))} - set(exact)
        assert left_out == {"/health", "/healthz", "/ready", "/metrics"}


def test_the_image_is_made_of_what_is_there():
    text = (DEPLOY / "Containerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for source in line.split():
            assert (DEPLOY.parent / source).exists(), source
    extras = set(re.search(r"'\.\[(.+)\]'", text)[1].split(","))
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    assert extras <= set(project["optional-dependencies"])
    assert "USER 10001" in text
