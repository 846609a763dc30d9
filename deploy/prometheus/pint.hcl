# Requirements of this project for its rules, in addition to the default checks of pint. Run:
# pint --offline --config deploy/prometheus/pint.hcl lint deploy/prometheus/rules
rule {
  match { kind = "recording" }
  name "mms:(source_id|source|account|all|threshold|link):[a-z_]+:[a-z0-9_]+" {
    severity = "bug"
  }
}

rule {
  match { kind = "recording" }
  aggregate "mms:(source_id|source|account|all):.+" {
    keep     = ["job"]
    severity = "bug"
  }
}

rule {
  match { kind = "recording" }
  aggregate "mms:source_id:(objects|inventory|jobs|jobs_stopped|stopped|done):max" {
    strip    = ["instance"]
    severity = "bug"
  }
}

rule {
  match { kind = "recording" }
  aggregate "mms:source:.+" {
    keep     = ["account", "source_id", "source"]
    severity = "bug"
  }
}

rule {
  match { kind = "alerting" }
  name "Mms[A-Z][A-Za-z]+" {
    severity = "bug"
  }
  label "severity" {
    values   = ["critical", "warning", "info"]
    required = true
    severity = "bug"
  }
  annotation "(summary|description)" {
    required = true
    severity = "bug"
  }
  annotation "runbook_url" {
    value    = ".+mms:link:runbooks:url.+/{{ $alert }}.md"
    required = true
    severity = "bug"
  }
  annotation "dashboard_url" {
    value    = ".+mms:link:dashboards:url.+/d/mms-(overview|datasource|jobs|exporter).*"
    required = true
    severity = "bug"
  }
}
