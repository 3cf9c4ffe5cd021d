"""Terraform with the AWS provider, unmodified: the whole life of every aws_vpclattice_* resource.

The provider comes from the first that has it: the mirror that TF_CLI_CONFIG_FILE names, a folder that Terraform
implies, `/*/tf-plugins`, the registry. Where CI is set and none has it, the tests fail: one that is skipped where CI
runs shows nothing.
"""

import functools
import glob
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from instance import ROOT

CONFIGURATION = ROOT / "e2e/terraform/main.tf"
WITH_IPV6 = ROOT / "e2e/terraform/ipv6/main.tf"
IDENTITIES = ROOT / "e2e/terraform/identities/main.tf"
ROUTE53 = ROOT / "e2e/terraform/route53/main.tf"
AROUND = ROOT / "e2e/terraform/around/main.tf"
# The provider cannot import these.
NOT_IMPORTABLE = {"aws_vpclattice_target_group_attachment"}
# What the provider does not read back: an import leaves it to the next apply.
NOT_READ_BACK = {
    "aws_acm_certificate": {"certificate_body", "private_key"},
}


VERSION = re.search(r'version\s*=\s*"([\d.]+)"', CONFIGURATION.read_text())[1]
# "If you don't include a provider_installation block in your CLI configuration": Terraform's implied local mirrors.
IMPLIED = ["terraform.d/plugins", "~/.terraform.d/plugins", "~/.local/share/terraform/plugins",
           "/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins"]


@functools.cache
def mirror():
    """The first folder on this machine that has the provider, packed or not; None where none has."""
    version = json.loads(subprocess.run(["terraform", "version", "-json"], check=True, capture_output=True).stdout)
    platform = version["platform"]
    for folder in [os.path.expanduser(one) for one in IMPLIED] + sorted(glob.glob("/*/tf-plugins")):
        provider = pathlib.Path(folder).resolve() / "registry.terraform.io/hashicorp/aws"
        packed = provider / f"terraform-provider-aws_{VERSION}_{platform}.zip"
        if packed.is_file() or (provider / VERSION / platform).is_dir():
            return provider.parents[2]
    return None


def not_checked(reason):
    """Skips, and says so; fails in CI, where everything is to be there."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(f"CI is set, and there {reason}")
    pytest.skip(f"NOT CHECKED: {reason}")


class Terraform:
    """One working directory against one instance: the environment is all it is told."""

    def __init__(self, directory, instance, material, configuration=CONFIGURATION):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir()
        shutil.copy(configuration, self.directory)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TF_PLUGIN_CACHE_DIR") if name in os.environ}
        self.environment = {
            **kept, **instance.variables, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1",
            "TF_VAR_material": str(material), "TF_CLI_CONFIG_FILE": str(self.cli_configuration()),
        }

    def cli_configuration(self):
        """The user's own where there is one: the variable may name a file that is not there."""
        named = os.environ.get("TF_CLI_CONFIG_FILE", "")
        if os.path.isfile(named):
            return os.path.abspath(named)
        path = self.directory / "terraform.tfrc"
        folder = mirror()
        path.write_text("" if folder is None else
                        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{folder}"\n  }}\n}}\n')
        return path

    def run(self, *words, allowed=(0,), stage="first"):
        environment = {**self.environment, "TF_VAR_stage": stage}
        done = subprocess.run(["terraform", *words], cwd=self.directory, env=environment, capture_output=True,
                              text=True, timeout=900)
        assert done.returncode in allowed, f"terraform {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def init(self):
        done = self.run("init", "-input=false", "-no-color", allowed=(0, 1))
        if "Failed to query available provider packages" in done.stderr:
            not_checked(f"is terraform, but the AWS provider {VERSION} neither in a folder that Terraform implies, "
                        "nor in /*/tf-plugins, nor in the registry (TF_CLI_CONFIG_FILE may name a mirror)")
        assert done.returncode == 0, done.stdout + done.stderr

    def apply(self, stage="first"):
        return self.run("apply", "-auto-approve", "-input=false", "-no-color", stage=stage)

    def changes(self, stage="first"):
        """Address -> what a plan would do to it, nothing left out but what stays."""
        self.run("plan", "-out=plan", "-input=false", "-no-color", stage=stage)
        plan = json.loads(self.run("show", "-json", "plan").stdout)
        return {change["address"]: (change["change"]["actions"], change["change"])
                for change in plan["resource_changes"] if change["change"]["actions"] != ["no-op"]}

    def plans_nothing(self, stage="first"):
        done = self.run("plan", "-detailed-exitcode", "-input=false", "-no-color", stage=stage, allowed=(0, 1, 2))
        assert done.returncode == 0, done.stdout + done.stderr

    def resources(self):
        state = json.loads(self.run("show", "-json").stdout)
        module = state.get("values", {}).get("root_module", {})
        return [one for one in module.get("resources", []) if one["mode"] == "managed"]

    def providers_kinds(self):
        """Every aws_vpclattice_* resource and data source the provider has."""
        schemas = json.loads(self.run("providers", "schema", "-json").stdout)["provider_schemas"]
        (schema,) = [one for name, one in schemas.items() if name.endswith("hashicorp/aws")]
        lattice = lambda kinds: {kind for kind in kinds if kind.startswith("aws_vpclattice_")}
        return lattice(schema["resource_schemas"]), lattice(schema["data_source_schemas"])


@pytest.fixture(autouse=True)
def terraform_is_installed():
    if shutil.which("terraform") is None:
        not_checked("is no terraform on this machine")


@pytest.fixture
def material(tmp_path):
    directory = tmp_path / "material"
    directory.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=cart.example.com",
         "-addext", "subjectAltName=DNS:cart.example.com", "-keyout", directory / "key.pem",
         "-out", directory / "certificate.pem"], check=True, capture_output=True)
    return directory


@pytest.mark.slow
def test_terraform_applies_changes_imports_and_destroys_every_lattice_resource(own, tmp_path, material):
    terraform = Terraform(tmp_path / "main", own, material)
    terraform.init()
    terraform.run("validate", "-no-color")
    configured = CONFIGURATION.read_text()
    resources, data_sources = terraform.providers_kinds()
    assert not [kind for kind in resources if f'resource "{kind}"' not in configured]
    assert not [kind for kind in data_sources if f'data "{kind}"' not in configured]

    terraform.apply()
    terraform.plans_nothing()
    made = terraform.resources()

    # Changed in place: everything whose kind can change in place does.
    replaced = {"aws_vpclattice_target_group_attachment.tcp"}
    changes = terraform.changes("second")
    for address, (actions, _) in changes.items():
        if address.startswith("data."):
            continue
        expected = {("delete", "create"), ("create", "delete")} if address in replaced else {("update",)}
        assert tuple(actions) in expected, f"{address}: {actions}"
    assert replaced < set(changes) and len(changes) > 15, sorted(changes)
    terraform.apply("second")
    terraform.plans_nothing("second")
    ids = {one["address"]: one["values"]["id"] for one in made}
    for one in terraform.resources():
        if one["address"] not in replaced:
            assert one["values"]["id"] == ids[one["address"]], one["address"]

    # Imported into an empty state, everything is as the configuration says.
    imported = Terraform(tmp_path / "imported", own, material)
    blocks = [
        f'import {{\n  to = {one["address"]}\n  id = "{one["values"]["id"]}"\n}}\n'
        for one in made if one["type"] not in NOT_IMPORTABLE
    ]
    (imported.directory / "imports.tf").write_text("\n".join(blocks))
    imported.init()
    for address, (actions, change) in imported.changes("second").items():
        kind = address.split(".")[0]
        if kind == "data":
            continue
        if kind in NOT_IMPORTABLE:
            assert actions == ["create"], address
            continue
        before, after = change["before"] or {}, change["after"] or {}
        different = {name for name in after if before.get(name) != after[name]}
        assert actions == ["update"] and different <= NOT_READ_BACK.get(kind, set()), f"{address}: {actions} {different}"

    terraform.run("destroy", "-auto-approve", "-input=false", "-no-color", stage="second")
    assert not terraform.resources()
    nothing_is_left(own)


@pytest.mark.slow
def test_terraform_gives_a_vpc_ipv6_and_what_stands_in_it(own, tmp_path, material):
    terraform = Terraform(tmp_path / "ipv6", own, material, WITH_IPV6)
    terraform.init()
    terraform.apply()
    terraform.plans_nothing()
    changes = terraform.changes("second")
    for address in ("aws_vpc.main", "aws_subnet.main"):
        assert changes[address][0] == ["update"], changes[address]
    terraform.apply("second")
    terraform.plans_nothing("second")
    made = {one["address"]: one["values"] for one in terraform.resources()}
    block = made["aws_vpc.main"]["ipv6_cidr_block"]
    assert block.startswith("fd") and block.endswith("/56"), block
    assert made["aws_subnet.main"]["ipv6_cidr_block"].endswith("/64")
    groups = own.lattice.list_target_groups()["items"]
    targets = own.lattice.list_targets(targetGroupIdentifier=groups[0]["id"])["items"]
    assert targets[0]["id"].endswith("::10") and targets[0]["status"] == "UNUSED"
    terraform.run("destroy", "-auto-approve", "-input=false", "-no-color", stage="second")
    nothing_is_left(own)


@pytest.mark.slow
def test_terraform_keeps_a_private_zone_with_its_vpcs_and_records(own, tmp_path, material):
    terraform = Terraform(tmp_path / "terraform", own, material, ROUTE53)
    terraform.init()
    terraform.apply()
    terraform.plans_nothing()
    terraform.apply("second")
    terraform.plans_nothing("second")
    terraform.run("destroy", "-auto-approve", "-input=false", "-no-color", stage="second")
    assert own.client("route53").list_hosted_zones()["HostedZones"] == []


@pytest.mark.slow
def test_terraform_looks_up_everything_around_a_vpc_a_subnet_and_a_host(own, tmp_path):
    vpc, subnet = own.vpc()
    name = own.host(subnet)
    found = own.ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": [name]}])
    instance = found["Reservations"][0]["Instances"][0]
    terraform = Terraform(tmp_path / "around", own, tmp_path, AROUND)
    terraform.environment.update({
        "TF_VAR_vpc": vpc, "TF_VAR_subnet": subnet, "TF_VAR_instance": instance["InstanceId"],
        "TF_VAR_interface": instance["NetworkInterfaces"][0]["NetworkInterfaceId"],
    })
    terraform.init()
    terraform.apply()
    terraform.plans_nothing()
    assert json.loads(terraform.run("output", "-json", "found").stdout) == {
        "options": ["AmazonProvidedDNS"], "type": "trellis.host", "memory": 2048,
        "zones": ["us-east-1a", "us-east-1b", "us-east-1c"], "absent": [],
    }
    terraform.apply("second")
    terraform.plans_nothing("second")
    for table in own.ec2.describe_route_tables()["RouteTables"]:
        assert table["Tags"] == [{"Key": "stage", "Value": "second"}], table


def nothing_is_left(instance):
    lattice, ec2 = instance.lattice, instance.ec2
    for operation in ("list_service_networks", "list_services", "list_target_groups", "list_resource_gateways",
                      "list_resource_configurations"):
        assert getattr(lattice, operation)()["items"] == [], operation
    assert instance.client("acm").list_certificates()["CertificateSummaryList"] == []
    assert ec2.describe_vpcs()["Vpcs"] == [] and ec2.describe_subnets()["Subnets"] == []
    assert ec2.describe_security_groups()["SecurityGroups"] == []
    tagged = instance.client("resourcegroupstaggingapi").get_resources()["ResourceTagMappingList"]
    assert tagged == []


@pytest.mark.slow
def test_terraform_applies_changes_and_destroys_identities(own, tmp_path):
    terraform = Terraform(tmp_path / "identities", own, tmp_path, IDENTITIES)
    terraform.init()
    terraform.apply()
    terraform.plans_nothing()
    ids = {one["address"]: one["values"]["id"] for one in terraform.resources()}
    terraform.apply("second")
    terraform.plans_nothing("second")
    role = own.client("iam").get_role(RoleName="controller")["Role"]
    assert (role["MaxSessionDuration"], role["Description"]) == (7200, "Stage second.")
    for one in terraform.resources():
        if one["type"] in ("aws_iam_role", "aws_iam_policy", "aws_iam_instance_profile"):
            assert one["values"]["id"] == ids[one["address"]], f"{one['address']} was replaced"
    terraform.run("destroy", "-auto-approve", "-input=false", "-no-color", stage="second")
    iam = own.client("iam")
    assert not iam.list_roles()["Roles"] and not iam.list_users()["Users"] and not iam.list_groups()["Groups"]
    assert not iam.list_policies(Scope="Local")["Policies"] and not iam.list_instance_profiles()["InstanceProfiles"]
