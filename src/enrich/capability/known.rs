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
const VISIT: &[Capability] = &[ReadsUntrusted, Egress];
const STATEMENT: &[Capability] = &[ReadsPrivate, Writes, Destructive];
const ANYTHING: &[Capability] = &[Executes, ReadsPrivate, Writes, Destructive, Egress];
const NOTHING: &[Capability] = &[];

/// Among a line's tools: those whose verb is one of reading.
pub(crate) const READS: &str = "(reads)";

const FILES: &str = "filesystem files fs";
const DRIVES: &str = "google-drive gdrive drive dropbox onedrive box";
const OBJECTS: &str = "s3 aws-s3 gcs minio";
const BROWSERS: &str =
    "puppeteer playwright browser chrome chrome-devtools browserbase stagehand browsermcp browser-use selenium";
const SEARCHES: &str = "brave brave-search exa tavily serper duckduckgo kagi perplexity google-search websearch firecrawl searxng context7 \
                        deepwiki brightdata bright-data apify jina serpapi";
const PUBLIC: &str =
    "reddit hackernews hacker-news youtube arxiv pubmed wikipedia twitter bluesky mastodon rss huggingface";
const CHATS: &str =
    "slack discord teams mattermost telegram whatsapp signal wechat imessage imessages lark feishu zulip";
const MAILS: &str =
    "gmail email mail imap smtp outlook google-workspace workspace ms365 postmark sendgrid resend mailgun";
const CALENDARS: &str = "calendar google-calendar gcal";
const SQL_DATABASES: &str =
    "postgres postgresql sqlite mysql mariadb mssql snowflake bigquery clickhouse supabase duckdb neon database db";
const DATABASES: &str = "postgres postgresql sqlite mysql mariadb mssql snowflake bigquery clickhouse supabase duckdb neon database db redis \
                         mongodb mongo elasticsearch";
const GRAPHS: &str = "memory knowledge-graph mem0 openmemory";
const WORK: &str = "notion linear jira atlassian confluence asana trello clickup monday zendesk intercom hubspot salesforce servicenow pagerduty";
const MEETINGS: &str = "granola fireflies otter fathom zoom";
const WATCHES: &str = "grafana datadog newrelic splunk";
const KEEPERS: &str = "langfuse posthog circleci jenkins airtable todoist n8n serena";
const PAYMENTS: &str = "stripe paypal square plaid";
const SHELLS: &str =
    "shell terminal bash powershell desktop-commander iterm commander code-runner python-repl e2b ssh run-python";
const CONTAINERS: &str = "docker podman";
const CLUSTERS: &str = "kubernetes k8s kubectl helm";
const CLOUDS: &str = "aws azure gcp gcloud cloudflare vercel terraform heroku railway netlify";
const VAULTS: &str = "vault 1password onepassword bitwarden keychain secrets-manager";

/// Names of gateways that offer the tools of other servers: they tell nothing of a tool.
pub(crate) const GATEWAYS: &[&str] = &["mcp-docker", "docker-mcp-gateway", "docker-ai-mcp-gateway"];

/// Servers whose name a tool's name starts with where a gateway or a client puts it there; no other word would stand there.
pub(crate) const PREFIXES: &str = "slack discord telegram whatsapp gmail outlook notion jira confluence asana trello clickup zendesk hubspot \
                                   salesforce github gitlab stripe paypal puppeteer playwright browser firecrawl tavily git kubectl \
                                   supabase postgres mysql mongodb redis obsidian sentry figma dropbox gdrive pagerduty";

/// Servers, tools, capabilities. Alternatives are separated by spaces; `*` stands for any characters, at the start of a
/// pattern for any whole words: `*run*` is in `container_run`, and not in `prune`.
#[rustfmt::skip]
pub(crate) const KNOWN: &[(&str, &str, &[Capability])] = &[
    // Files
    (FILES, "list_allowed_directories", NOTHING),
    (FILES, "read_* get_file_info list_* directory_tree search_* tree", &[ReadsPrivate]),
    (FILES, "write_file edit_file create_directory move_file copy_file", &[Writes]),
    (FILES, "delete_* remove_*", REMOVE),
    (DRIVES, "*delete* *trash*", REMOVE),
    (DRIVES, "(reads) search* read* list* get* download* *ask* *extract*", MAIL),
    (DRIVES, "*share* *upload* *create* *update* *copy* *permission*", PUBLISH),
    (OBJECTS, "list* get* read* download* head*", &[ReadsPrivate]),
    (OBJECTS, "put* upload* copy* create*", PUBLISH),
    (OBJECTS, "delete*", REMOVE),
    // The web
    ("fetch", "*fetch*", VISIT),
    (BROWSERS, "*evaluate* *run_code* *javascript* *execute_script*", &[Executes, ReadsUntrusted, Egress]),
    (BROWSERS, "select_page *page_text*", &[ReadsUntrusted]),
    (BROWSERS, "*navigate* *open* *goto* *new_page* *tab_new* *tabs_create*", VISIT),
    (BROWSERS, "*type* *fill* *click* *select* *press* *upload* *submit* *drag* *form* *dialog* *send_keys* *act computer *agent*", &[ReadsUntrusted, Egress, Writes]),
    // Some browsers call each move of theirs destructive; so this is a line of their own.
    (BROWSERS, "browser_* *", &[ReadsUntrusted]),
    (SEARCHES, "*scrape* *scraping* *crawl* *extract* *map *fetch* *read_url* *navigate* *browser* call_actor", VISIT),
    (SEARCHES, "*", &[ReadsUntrusted]),
    (PUBLIC, "(reads) hub_repo_details", &[ReadsUntrusted]),
    // Code
    ("github", "search_code get_file_contents list_commits get_commit list_branches list_tags get_tag get_me list_releases get_latest_release search_repositories search_users", MAIL),
    ("github", "*secret_scanning* *dependabot* *code_scanning* *security_advisor*", &[ReadsPrivate]),
    ("github", "get_* list_* search_* *read *get *list download_*", MAIL),
    ("github", "delete_*", REMOVE),
    ("github", "run_workflow rerun_* *run_trigger", &[Writes, Executes]),
    ("github", "create_* add_* update_* push_* fork_* merge_* *write assign_* request_* submit_* star_* unstar_* dismiss_* mark_* manage_* cancel_*", PUBLISH),
    ("gitlab", "get_* list_* search_* download_* mr_discussions my_issues", MAIL),
    ("gitlab", "delete_*", REMOVE),
    ("gitlab", "execute_graphql", &[ReadsPrivate, Writes, Egress]),
    ("gitlab", "run_* retry_* play_* trigger_*", &[Writes, Executes]),
    ("gitlab", "create_* update_* push_* fork_* merge_* add_* edit_* publish_* resolve_* approve_* upload_*", PUBLISH),
    ("git", "git_status git_diff* git_log git_show git_branch git_blame", &[ReadsPrivate]),
    ("git", "git_clone git_pull git_fetch", &[ReadsUntrusted, Writes]),
    ("git", "git_push", PUBLISH),
    ("git", "git_reset git_clean", REMOVE),
    ("git", "git_*", &[Writes]),
    ("sentry", "*", MAIL),
    ("figma", "*", &[ReadsPrivate]),
    // Chat and mail
    (CHATS, "slack_send_message_draft", &[Writes]),
    (CHATS, "(reads)", MAIL),
    (CHATS, "*delete* *remove* ban_* kick_*", REMOVE),
    (CHATS, "*post* *send* *reply* *react* *add* *edit* *update* *forward* *create* *upload* *schedule* *invite*", PUBLISH),
    (CHATS, "*list* *get* *search* *read* *history* *replies*", MAIL),
    (MAILS, "*send *send_* sendmail*", PUBLISH),
    (MAILS, "(reads) *inspect*", MAIL),
    (MAILS, "*draft*", &[Writes]),
    (MAILS, "*reply* *forward* *share*", PUBLISH),
    (MAILS, "*delete* *trash*", REMOVE),
    (MAILS, "*event* *filter* *rule* *permission* *access *ownership *drive_file *upload*", PUBLISH),
    (MAILS, "*label* *modify* *create* *update* *move* *mark* *import* *manage*", &[Writes]),
    (MAILS, "*read* *get* *list* *search* *find* *fetch* *query* *download*", MAIL),
    (CALENDARS, "get_current_time", NOTHING),
    (CALENDARS, "(reads)", MAIL),
    (CALENDARS, "*create* *update* *add* *respond*", PUBLISH),
    (CALENDARS, "*delete*", REMOVE),
    (CALENDARS, "*", MAIL),
    // Data
    ("postgres postgresql", "query list_* describe_* get_* explain_* analyze_*", &[ReadsPrivate]),
    ("sqlite", "read_query list_tables describe_table", &[ReadsPrivate]),
    ("sqlite", "write_query", REMOVE),
    ("sqlite", "create_table append_insight", &[Writes]),
    (DATABASES, "get_anon_key get_publishable_key* get_connection_string", &[ReadsPrivate, Credentials]),
    ("supabase", "deploy_edge_function", &[Writes, Executes]),
    ("mongodb mongo", "atlas_create_db_user", &[Writes, Credentials]),
    (SQL_DATABASES, "pause_project reset_*", REMOVE),
    (SQL_DATABASES, "read_query run_select_query", &[ReadsPrivate]),
    (SQL_DATABASES, "*execute* *run_* *query* *sql* *psql* apply_migration prepare_database_migration", STATEMENT),
    (DATABASES, "*execute* run_command", STATEMENT),
    (DATABASES, "*drop* *delete* *remove* *truncate* *flush* expire lpop rpop srem zrem hdel xdel json_del", REMOVE),
    (DATABASES, "(reads)", &[ReadsPrivate]),
    (DATABASES, "*insert* *update* *create* *set *set_* *upsert* *rename* hset* lpush* rpush sadd zadd xadd publish merge_branch restore_project complete_database_migration", &[Writes]),
    (DATABASES, "*", &[ReadsPrivate]),
    (GRAPHS, "delete_*", REMOVE),
    (GRAPHS, "create_* add_* save* store* write*", &[Writes]),
    (GRAPHS, "*", &[ReadsPrivate]),
    ("qdrant", "*store*", &[Writes]),
    ("qdrant neo4j", "*find* *read*", &[ReadsPrivate]),
    ("neo4j", "*write*", REMOVE),
    ("obsidian", "*delete*", REMOVE),
    ("obsidian", "*append* *put* *patch* *create* *write*", &[Writes]),
    ("obsidian", "*", &[ReadsPrivate]),
    // Work tools
    ("notion", "api_post_search api_post_database_query", MAIL),
    ("monday", "all_monday_api", &[ReadsPrivate, ReadsUntrusted, Writes, Egress, Destructive]),
    ("salesforce", "*dml*", &[Writes, Egress, Destructive]),
    // To open a ticket is to write one.
    (WORK, "open_*", PUBLISH),
    (WORK, "(reads)", MAIL),
    (WORK, "*delete* *archive* *trash* *remove*", REMOVE),
    (WORK, "*create* *update* *add* *edit* *append* *patch* *post* *move* *comment* *transition* *save* *reply* *duplicate* *upload* *attach* *link* *send* *write* *manage*", PUBLISH),
    (WORK, "*", MAIL),
    ("jupyter", "*execute*", &[Executes, Writes]),
    (MEETINGS, "(reads)", MAIL),
    // What is logged was written by whoever sent it.
    (WATCHES, "(reads)", MAIL),
    (KEEPERS, "(reads)", &[ReadsPrivate]),
    // Money
    ("square", "make_api_request", &[ReadsPrivate, Writes, Pays]),
    ("square", "get_service_info get_type_info", NOTHING),
    (PAYMENTS, "(reads)", &[ReadsPrivate]),
    (PAYMENTS, "send_invoice", &[Writes, Egress, Pays]),
    (PAYMENTS, "*refund* create_payment* *pay_* *transfer* *payout* *charge* finalize_invoice create_invoice* *order* accept_dispute*", &[Writes, Pays]),
    (PAYMENTS, "*cancel* *delete*", REMOVE),
    (PAYMENTS, "create_* update_*", &[Writes]),
    (PAYMENTS, "*", &[ReadsPrivate]),
    // Machines and clouds
    (SHELLS, "*kill* force_terminate", REMOVE),
    (SHELLS, "*read_file* read_multiple_files read_process_output *read_terminal* *list* *search* *get*", &[ReadsPrivate]),
    (SHELLS, "*write_file* write_pdf *edit* set_config_value move_file create_directory", &[Writes]),
    (SHELLS, "*", ANYTHING),
    (CONTAINERS, "*remove* *prune* *stop* *kill* *delete*", REMOVE),
    (CONTAINERS, "*exec* *run* *start* *restart* *create_container* *recreate* *compose_up*", &[Executes, Writes]),
    (CONTAINERS, "*push*", PUBLISH),
    (CONTAINERS, "*pull* *build*", &[Writes]),
    (CONTAINERS, "*", &[ReadsPrivate]),
    (CLUSTERS, "kubectl kubectl_generic *call_kubectl*", &[Executes, ReadsPrivate, Writes, Destructive]),
    (CLUSTERS, "*exec* *run*", &[Executes, Writes]),
    (CLUSTERS, "*secret* configuration_view *kubeconfig*", &[ReadsPrivate, Credentials]),
    (CLUSTERS, "*delete* *uninstall* *cleanup* *drain* node_management", REMOVE),
    (CLUSTERS, "*apply* *create* *patch* *scale* *install* *upgrade* *rollout* *cordon* *port_forward*", &[Writes]),
    (CLUSTERS, "*", &[ReadsPrivate]),
    (CLOUDS, "*secret_put* *put_secret* *create_secret* *update_secret*", &[Writes, Credentials]),
    (CLOUDS, "*secret* *credential* *token* *password* *keyvault* list_variables *config_vars*", &[ReadsPrivate, Credentials]),
    (CLOUDS, "*delete* *terminate* *destroy* *remove*", REMOVE),
    ("terraform", "create_run", &[Writes]),
    ("terraform", "apply_run", &[Writes, Executes]),
    (CLOUDS, "web_fetch_vercel_url", VISIT),
    (CLOUDS, "*database_query* *psql*", STATEMENT),
    ("aws-documentation aws-docs microsoft-docs", "*", NOTHING),
    (CLOUDS, "(reads)", &[ReadsPrivate]),
    (CLOUDS, "call_aws *execute* *run* *invoke* *extension_az*", &[Executes, ReadsPrivate, Writes, Destructive]),
    (CLOUDS, "*create* *update* *put* *deploy* *apply* *set* *restart*", &[Writes]),
    (CLOUDS, "*list* *get* *describe* *read*", &[ReadsPrivate]),
    (VAULTS, "*delete*", &[Writes, Destructive, Credentials]),
    (VAULTS, "*write* *create* *update* *put*", &[Writes, Credentials]),
    (VAULTS, "*", &[ReadsPrivate, Credentials]),
    // Harmless
    ("time", "get_current_time convert_time", NOTHING),
    ("sequential-thinking sequentialthinking", "*", NOTHING),
    ("everything", "get-env", &[ReadsPrivate, Credentials]),
    ("everything", "echo add get-sum get-tiny-image long* print* sample*", NOTHING),
];
