// What the API answers. Until openapi.json stands at the root, written from the protocol by hand.
interface UserOut { id: string; email: string; full_name: string | null; is_active: boolean; is_superuser: boolean; created_at: string; updated_at: string }
interface IssueOut {
  id: string; title: string; description: string | null; repository_url: string | null; repository_id: string | null;
  project_id: string | null; prompt_id: string | null; issue_number: number | null; status: string; priority: number;
  requires: string[]; tool: string | null; base_branch: string | null; assigned_node_id: string | null; owner_id: string;
  attempt_count: number; max_attempts: number; not_before: string | null; created_at: string; updated_at: string;
  started_at: string | null; completed_at: string | null; error_message: string | null; result_branch: string | null;
}
interface NodeOut {
  id: string; name: string; ip: string | null; description: string | null; tags: string[]; tools: { category: string; version: string | null }[];
  status: string; desired: string; desired_note: string | null; paused_until: string | null; max_slots: number; running: number; version: string | null;
  last_heartbeat: string | null; disk_free_bytes: number | null; owner_id: string; created_at: string; updated_at: string;
}
interface LogOut {
  id: string; issue_id: string; attempt_id: string | null; node_id: string | null; seq: number | null; step_name: string; status: string;
  command: string | null; output: string | null; error_message: string | null; duration_ms: number | null; created_at: string;
}
interface UsageOut { provider: string; model: string; input_tokens: number; output_tokens: number; cache_read_tokens: number; cache_write_tokens: number; cost_usd: number }
interface AttemptOut {
  id: string; issue_id: string; node_id: string | null; node_name: string; number: number; status: string; branch: string; base_sha: string | null;
  head_sha: string | null; summary: string | null; error_message: string | null; failure_code: string | null; adopted: boolean; usage: UsageOut[];
  created_at: string; started_at: string | null; finished_at: string | null;
}
interface ThroughputOut { hour: string; completed: number; failed: number }
interface RunningOut { issue_id: string; title: string; node_id: string | null; node_name: string; attempt_id: string; started_at: string | null; running_s: number | null }
interface StatsOut {
  issues: Record<string, number> & { pending: number; processing: number; pending_merge: number; failed: number; total: number; oldest_pending_age_s: number | null };
  nodes: { online: number; offline: number; draining: number; paused: number; busy: number; total: number };
  projects: number; repositories: number; prompts: number; credentials: number; throughput: ThroughputOut[]; running: RunningOut[];
}
interface ProjectOut { id: string; name: string; description: string | null; is_active: boolean; max_running: number | null }
interface PromptOut { id: string; name: string; content: string; description: string | null; tags: string[]; is_default: boolean }
interface CredentialOut {
  id: string; title: string; category: string; pat_last4: string; is_disabled: boolean; disabled_reason: string | null;
  cooldown_until: string | null; last_used_at: string | null; max_running: number | null;
}
interface AuditOut {
  id: string; at: string; actor_kind: string; actor_id: string | null; actor_name: string | null; action: string; object_type: string;
  object_id: string | null; address: string | null; detail: Record<string, unknown>;
}
interface TokenOut { id: string; kind: string; name: string | null; last4: string; created_at: string; expires_at: string | null; last_used_at: string | null }
