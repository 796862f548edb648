// What the API answers, by the names of the page: from openapi.json through api.d.ts, which `make page` generates.
type Schemas = import("./api").components["schemas"];
type UserOut = Schemas["UserOut"];
type IssueOut = Schemas["IssueOut"];
type NodeOut = Schemas["NodeOut"];
type ProjectOut = Schemas["ProjectOut"];
type PromptOut = Schemas["PromptOut"];
type CredentialOut = Schemas["CredentialOut"];
type StatsOut = Schemas["Stats"];
type RunningOut = Schemas["Running"];
type ThroughputOut = Schemas["Throughput"];
type UsageTotals = Required<Schemas["UsageTotals"]>;
type IssueDetailOut = Schemas["IssueDetail"] & { usage: UsageTotals };
type UsageOut = Required<Schemas["ModelUsage"]>;
type AttemptOut = Required<Schemas["AttemptOut"]>;
type LogOut = Schemas["LogOut"];
type AuditOut = Schemas["AuditOut"];
type TokenOut = Schemas["TokenOut"];
