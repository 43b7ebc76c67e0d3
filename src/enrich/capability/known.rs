//! What the tools of widely used MCP servers can do, as data.
//!
//! A line: words that name the server (in its alias or in `serverInfo.name`), its tools, what these can do. The first
//! line that fits decides. Reading what others wrote is both private (it lies behind the user's account) and untrusted.

use crate::call::Capability::{
    self, Credentials, Destructive, Egress, Executes, Pays, ReadsPrivate, ReadsUntrusted, Writes,
};

const MAIL: &[Capability] = &[ReadsPrivate, ReadsUntrusted];
const PUBLISH: &[Capability] = &[Writes, Egress];
const REMOVE: &[Capability] = &[Writes, Destructive];
const NOTHING: &[Capability] = &[];

/// Servers, tools, capabilities. Alternatives are separated by spaces; `*` stands for any characters.
#[rustfmt::skip]
pub(crate) const KNOWN: &[(&str, &str, &[Capability])] = &[
    // Files
    ("filesystem files fs", "list_allowed_directories", NOTHING),
    ("filesystem files fs", "read_* get_file_info list_* directory_tree search_* tree", &[ReadsPrivate]),
    ("filesystem files fs", "write_file edit_file create_directory move_file copy_file", &[Writes]),
    ("filesystem files fs", "delete_* remove_*", REMOVE),
    ("google-drive gdrive drive dropbox onedrive box", "search* read* list* get* download*", MAIL),
    ("google-drive gdrive drive dropbox onedrive box", "share* upload* create* update*", PUBLISH),
    ("google-drive gdrive drive dropbox onedrive box", "delete* trash*", REMOVE),
    ("s3 aws-s3 gcs minio", "list* get* read* download* head*", &[ReadsPrivate]),
    ("s3 aws-s3 gcs minio", "put* upload* copy* create*", PUBLISH),
    ("s3 aws-s3 gcs minio", "delete*", REMOVE),
    // The web
    ("fetch", "fetch fetch_*", &[ReadsUntrusted, Egress]),
    ("puppeteer playwright browser chrome-devtools browserbase browser-use selenium", "*evaluate* *run_code* *evaluate_script*", &[Executes, ReadsUntrusted, Egress]),
    ("puppeteer playwright browser chrome-devtools browserbase browser-use selenium", "*navigate* *open* *goto* *new_page* *tab_new*", &[ReadsUntrusted, Egress]),
    ("puppeteer playwright browser chrome-devtools browserbase browser-use selenium", "*type* *fill* *click* *select* *press* *upload* *submit* *drag* *form*", &[ReadsUntrusted, Egress, Writes]),
    ("puppeteer playwright browser chrome-devtools browserbase browser-use selenium", "*", &[ReadsUntrusted]),
    ("brave brave-search exa tavily serper duckduckgo kagi perplexity google-search websearch firecrawl searxng context7 deepwiki", "*", &[ReadsUntrusted]),
    // Code
    ("github", "search_code get_file_contents list_commits get_commit list_branches list_tags get_tag get_me list_releases get_latest_release search_repositories search_users", MAIL),
    ("github", "*secret_scanning* *dependabot* *code_scanning* *security_advisor*", &[ReadsPrivate]),
    ("github", "get_* list_* search_* *_read download_*", MAIL),
    ("github", "delete_*", REMOVE),
    ("github", "run_workflow rerun_*", &[Writes, Executes]),
    ("github", "create_* add_* update_* push_* fork_* merge_* issue_write sub_issue_write pull_request_review_write assign_* request_* submit_* star_* dismiss_* mark_* manage_* cancel_*", PUBLISH),
    ("gitlab", "get_* list_* search_*", MAIL),
    ("gitlab", "delete_*", REMOVE),
    ("gitlab", "create_* update_* push_* fork_* merge_* add_*", PUBLISH),
    ("git", "git_status git_diff* git_log git_show git_branch", &[ReadsPrivate]),
    ("git", "git_push", PUBLISH),
    ("git", "git_reset git_clean", REMOVE),
    ("git", "git_*", &[Writes]),
    ("sentry", "*", MAIL),
    ("figma", "*", &[ReadsPrivate]),
    // Chat and mail
    ("slack discord teams mattermost telegram whatsapp", "*post* *send* *reply* *add_reaction* *create* *upload* *schedule* *invite*", PUBLISH),
    ("slack discord teams mattermost telegram whatsapp", "*delete* *remove*", REMOVE),
    ("slack discord teams mattermost telegram whatsapp", "*list* *get* *search* *read* *history* *replies*", MAIL),
    ("gmail email mail imap smtp outlook google-workspace workspace ms365 postmark sendgrid resend mailgun", "*send* *reply* *forward* *share*", PUBLISH),
    ("gmail email mail imap smtp outlook google-workspace workspace ms365 postmark sendgrid resend mailgun", "*delete* *trash*", REMOVE),
    ("gmail email mail imap smtp outlook google-workspace workspace ms365 postmark sendgrid resend mailgun", "*read* *get* *list* *search* *find* *fetch* *query* *download*", MAIL),
    ("gmail email mail imap smtp outlook google-workspace workspace ms365 postmark sendgrid resend mailgun", "*create_event* *update_event* *filter*", PUBLISH),
    ("gmail email mail imap smtp outlook google-workspace workspace ms365 postmark sendgrid resend mailgun", "*draft* *label* *modify* *create* *update* *move* *mark*", &[Writes]),
    ("calendar google-calendar gcal", "*create* *update* *add* *respond*", PUBLISH),
    ("calendar google-calendar gcal", "*delete*", REMOVE),
    ("calendar google-calendar gcal", "*", MAIL),
    // Data
    ("postgres postgresql", "query list_* describe_* get_* explain_* analyze_*", &[ReadsPrivate]),
    ("sqlite", "read_query list_tables describe_table", &[ReadsPrivate]),
    ("sqlite", "write_query", REMOVE),
    ("sqlite", "create_table append_insight", &[Writes]),
    ("postgres postgresql sqlite mysql mariadb mssql snowflake bigquery clickhouse supabase duckdb neon database db", "execute* run_* *query* *sql* apply_migration", &[ReadsPrivate, Writes, Destructive]),
    ("postgres postgresql sqlite mysql mariadb mssql snowflake bigquery clickhouse supabase duckdb neon database db redis mongodb mongo elasticsearch", "drop* delete* remove* truncate* flush*", REMOVE),
    ("postgres postgresql sqlite mysql mariadb mssql snowflake bigquery clickhouse supabase duckdb neon database db redis mongodb mongo elasticsearch", "insert* update* create* set* upsert* rename* hset* lpush*", &[Writes]),
    ("postgres postgresql sqlite mysql mariadb mssql snowflake bigquery clickhouse supabase duckdb neon database db redis mongodb mongo elasticsearch", "*", &[ReadsPrivate]),
    ("memory knowledge-graph mem0", "delete_*", REMOVE),
    ("memory knowledge-graph mem0", "create_* add_* save* store* write*", &[Writes]),
    ("memory knowledge-graph mem0", "*", &[ReadsPrivate]),
    ("obsidian", "*delete*", REMOVE),
    ("obsidian", "*append* *put* *patch* *create* *write*", &[Writes]),
    ("obsidian", "*", &[ReadsPrivate]),
    // Work tools
    ("notion linear jira atlassian confluence asana trello clickup monday zendesk intercom hubspot salesforce servicenow pagerduty", "*delete* *archive* *trash*", REMOVE),
    ("notion linear jira atlassian confluence asana trello clickup monday zendesk intercom hubspot salesforce servicenow pagerduty", "*create* *update* *add* *edit* *append* *patch* *post* *move* *comment* *transition* *save* *reply* *duplicate*", PUBLISH),
    ("notion linear jira atlassian confluence asana trello clickup monday zendesk intercom hubspot salesforce servicenow pagerduty", "*", MAIL),
    // Money
    ("stripe paypal square plaid", "*refund* create_payment* *pay_* *transfer* *payout* *charge* finalize_invoice create_invoice* *order*", &[Writes, Pays]),
    ("stripe paypal square plaid", "*cancel* *delete*", REMOVE),
    ("stripe paypal square plaid", "create_* update_*", &[Writes]),
    ("stripe paypal square plaid", "*", &[ReadsPrivate]),
    // Machines and clouds
    ("shell terminal bash powershell desktop-commander iterm commander code-runner python-repl e2b ssh run-python", "*read_file* *list* *search* *get*", &[ReadsPrivate]),
    ("shell terminal bash powershell desktop-commander iterm commander code-runner python-repl e2b ssh run-python", "*write_file* *edit*", &[Writes]),
    ("shell terminal bash powershell desktop-commander iterm commander code-runner python-repl e2b ssh run-python", "*", &[Executes, ReadsPrivate, Writes, Destructive, Egress]),
    ("docker podman", "*exec* *run* *start* *create_container*", &[Executes, Writes]),
    ("docker podman", "*remove* *prune* *stop* *kill* *delete*", REMOVE),
    ("docker podman", "*push*", PUBLISH),
    ("docker podman", "*pull* *build*", &[Writes]),
    ("docker podman", "*", &[ReadsPrivate]),
    ("kubernetes k8s kubectl helm", "*exec* *run*", &[Executes, Writes]),
    ("kubernetes k8s kubectl helm", "*secret*", &[ReadsPrivate, Credentials]),
    ("kubernetes k8s kubectl helm", "*delete* *uninstall* *cleanup* *drain*", REMOVE),
    ("kubernetes k8s kubectl helm", "*apply* *create* *patch* *scale* *install* *upgrade* *rollout* *cordon* *port_forward*", &[Writes]),
    ("kubernetes k8s kubectl helm", "*", &[ReadsPrivate]),
    ("aws azure gcp gcloud cloudflare vercel terraform", "*secret* *credential* *token* *password*", &[ReadsPrivate, Credentials]),
    ("aws azure gcp gcloud cloudflare vercel terraform", "*delete* *terminate* *destroy* *remove*", REMOVE),
    ("aws azure gcp gcloud cloudflare vercel terraform", "call_aws *execute* *run* *invoke*", &[Executes, ReadsPrivate, Writes, Destructive]),
    ("aws azure gcp gcloud cloudflare vercel terraform", "*create* *update* *put* *deploy* *apply* *set*", &[Writes]),
    ("aws-documentation aws-docs microsoft-docs", "*", NOTHING),
    ("aws azure gcp gcloud cloudflare vercel terraform", "*list* *get* *describe* *read*", &[ReadsPrivate]),
    ("vault 1password onepassword bitwarden keychain secrets-manager", "*delete*", &[Writes, Destructive, Credentials]),
    ("vault 1password onepassword bitwarden keychain secrets-manager", "*write* *create* *update* *put*", &[Writes, Credentials]),
    ("vault 1password onepassword bitwarden keychain secrets-manager", "*", &[ReadsPrivate, Credentials]),
    // Harmless
    ("time", "get_current_time convert_time", NOTHING),
    ("sequential-thinking sequentialthinking", "*", NOTHING),
    ("everything", "echo add get-sum get-tiny-image long* print* sample*", NOTHING),
];
