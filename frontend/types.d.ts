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
type UsageOut = Required<Schemas["ModelUsage"]>;

// These are only ever items of lists, whose items the description does not name.
interface LogOut {
  id: string; issue_id: string; attempt_id: string | null; node_id: string | null; seq: number | null; step_name: string; status: string;
  command: string | null; output: string | null; error_message: string | null; duration_ms: number | null; created_at: string;
}
interface AttemptOut {
  id: string; issue_id: string; node_id: string | null; node_name: string; number: number; status: string; branch: string; base_sha: string | null;
  head_sha: string | null; summary: string | null; error_message: string | null; failure_code: string | null; adopted: boolean; usage: UsageOut[];
  created_at: string; started_at: string | null; finished_at: string | null;
}
interface AuditOut {
  id: string; at: string; actor_kind: string; actor_id: string | null; actor_name: string | null; action: string; object_type: string;
  object_id: string | null; address: string | null; detail: Record<string, unknown>;
}
interface TokenOut { id: string; kind: string; name: string | null; last4: string; created_at: string; expires_at: string | null; last_used_at: string | null }
