package database

import (
	"time"

	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/catalog"
	"hyprstream/inference"
)

const (
	text    = m.TypeVarchar
	number  = m.TypeBigInt
	real64  = m.TypeDouble
	truth   = m.TypeBoolean
	instant = m.TypeTimestampTZ
	texts   = m.TypeList
)

// registerTables makes schema ai: views, which clients' metadata calls see, over
// table functions of ours.
func (db *DB) registerTables(conn m.Connection) error {
	if err := execOn(conn, "CREATE SCHEMA IF NOT EXISTS ai"); err != nil {
		return err
	}
	for view, t := range map[string]*table{
		"models":   {columns: modelColumns, rows: db.modelRows},
		"adapters": {columns: adapterColumns, rows: db.adapterRows},
		"prompts":  {columns: promptColumns, rows: db.promptRows},
		"engines":  {columns: engineColumns, rows: db.engineRows},
		"prefixes": {columns: prefixColumns, rows: db.prefixRows},
		"queries":  {columns: queryColumns, rows: db.queryRows},
		"sessions": {columns: sessionColumns, rows: db.sessionRows},
		"messages": {columns: messageColumns, rows: db.messageRows},
		"usage":    {columns: usageColumns, rows: db.usageRows},
		"cascades": {columns: cascadeColumns, rows: db.cascadeRows},
		"cache":    {columns: cacheColumns, rows: db.cacheRows},
	} {
		t.name = "__ai_" + view
		if err := t.register(conn); err != nil {
			return err
		}
		if err := execOn(conn, "CREATE OR REPLACE VIEW ai."+view+" AS SELECT * FROM "+t.name+"()"); err != nil {
			return err
		}
	}
	return nil
}

var modelColumns = []column{
	{"name", text}, {"architecture", text}, {"parameters", number}, {"quantisation", text},
	{"context_length", number}, {"embedding_length", number}, {"encoder", truth}, {"bytes", number}, {"memory", number}, {"slots", number}, {"sha256", text},
	{"format", text}, {"path", text}, {"source", text}, {"state", text}, {"is_default", truth}, {"pinned", truth},
	{"chat_template", text}, {"created_at", instant}, {"source_sha256", text}, {"options", text},
}

func (db *DB) modelRows() (out [][]any) {
	for _, v := range db.catalog.Models() {
		template := v.ChatTemplate
		if v.Options.ChatTemplate != "" {
			template = v.Options.ChatTemplate
		}
		out = append(out, []any{v.Name, v.Architecture, v.Parameters, v.Quantisation,
			int64(contextLength(v)), int64(v.EmbeddingLength), v.Encoder, v.Bytes, v.Memory, int64(v.Options.Slots), v.SHA256,
			v.Format, v.Path, v.Source, string(db.engine.Ready(v.Name)), v.Default, v.Pinned,
			orNull(template), v.CreatedAt, orNull(v.SourceSHA256()), v.OptionsJSON()})
	}
	return out
}

// defaultContext is the most a slot gets unless WITH (context_length = …) says more.
const defaultContext = 4096

// contextLength is what a prompt and its completion may have together.
func contextLength(v catalog.Model) int {
	switch {
	case v.Options.ContextLength > 0:
		return v.Options.ContextLength
	case v.ContextLength > 0:
		return min(v.ContextLength, defaultContext)
	}
	return defaultContext
}

var adapterColumns = []column{
	{"name", text}, {"model", text}, {"kind", text}, {"rank", number}, {"alpha", real64}, {"targets", texts}, {"parts", texts},
	{"scale", real64}, {"bytes", number}, {"sha256", text}, {"path", text}, {"source", text}, {"created_at", instant},
}

func (db *DB) adapterRows() (out [][]any) {
	for _, v := range db.catalog.Adapters() {
		alpha, parts := any(float64(v.Alpha)), any(nil)
		if names := v.PartNames(); names != nil {
			alpha, parts = nil, names
		}
		out = append(out, []any{v.Name, v.Model, v.Kind(), int64(v.Rank), alpha, v.Targets, parts,
			float64(v.Scale), v.Bytes, v.SHA256, orNull(v.Path), orNull(v.Source), v.CreatedAt})
	}
	return out
}

var promptColumns = []column{
	{"name", text}, {"version", number}, {"template", text}, {"fields", texts}, {"sha256", text}, {"is_current", truth}, {"created_at", instant},
}

func (db *DB) promptRows() (out [][]any) {
	all := db.catalog.Prompts()
	for i, v := range all {
		newest := i == len(all)-1 || all[i+1].Name != v.Name
		out = append(out, []any{v.Name, int64(v.Version), v.Template, v.Fields, v.SHA256, newest, v.CreatedAt})
	}
	return out
}

var engineColumns = []column{
	{"model", text}, {"state", text}, {"pid", number}, {"bytes", number}, {"slots", number}, {"busy", number}, {"queued", number},
	{"restarts", number}, {"pinned", truth}, {"loaded_at", instant}, {"idle_since", instant},
	{"prompt_tokens", number}, {"shared_tokens", number}, {"completion_tokens", number},
	{"prefill_seconds", real64}, {"decode_seconds", real64},
	{"steps", number}, {"decoded_tokens", number}, {"slot_use", real64},
	{"step_seconds", real64}, {"sample_seconds", real64}, {"overhead_seconds", real64},
	{"prefixes", number}, {"prefix_bytes", number}, {"last_error", text},
}

func (db *DB) engineRows() (out [][]any) {
	for _, v := range db.engine.Status() {
		var pid, use any
		if all := v.Stats.Steps * uint64(v.Slots); all > 0 {
			use = float64(v.Stats.SlotSteps) / float64(all)
		}
		if v.State == inference.StateReady {
			pid = int64(v.PID)
		}
		out = append(out, []any{v.Model, string(v.State), pid, v.Bytes, int64(v.Slots), int64(v.Busy), int64(v.Queued),
			int64(v.Restarts), v.Pinned, orNone(v.LoadedAt), orNone(v.IdleSince),
			int64(v.Stats.PromptTokens), int64(v.Stats.SharedTokens), int64(v.Stats.CompletionTokens),
			v.Stats.PrefillSeconds, v.Stats.DecodeSeconds,
			int64(v.Stats.Steps), int64(v.Stats.DecodedTokens), use,
			v.Stats.StepSeconds, v.Stats.SampleSeconds, v.Stats.OverheadSeconds,
			int64(v.Stats.Prefixes), v.Stats.PrefixBytes, orNull(v.LastError)})
	}
	return out
}

var sessionColumns = []column{
	{"session", text}, {"model", text}, {"messages", number}, {"created_at", instant}, {"used_at", instant},
	{"kept", text}, {"tokens", number}, {"kept_bytes", number},
}

func (db *DB) sessionRows() (out [][]any) {
	kept := db.engine.Dialogues()
	for _, v := range db.dialogues.List() {
		k, ok := kept[v.ID]
		if !ok {
			k.Kept = inference.KeptNowhere
		}
		out = append(out, []any{v.ID, v.Model, int64(v.Messages), v.Created, v.Used, k.Kept, int64(k.Tokens), k.Bytes})
	}
	return out
}

var messageColumns = []column{{"session", text}, {"seq", number}, {"role", text}, {"content", text}, {"created_at", instant}}

func (db *DB) messageRows() (out [][]any) {
	all, err := db.catalog.Messages("")
	if err != nil {
		db.log.Error("messages not read", "err", err)
	}
	for _, m := range all {
		out = append(out, []any{m.Session, int64(m.Seq), m.Role, m.Content, m.CreatedAt})
	}
	return out
}

var queryColumns = []column{
	{"query", text}, {"user", text}, {"client", text}, {"statement", text}, {"function", text}, {"model", text},
	{"started_at", instant}, {"seconds", real64}, {"rows_done", number}, {"rows_expected", number}, {"failed_rows", number},
	{"prompt_tokens", number}, {"completion_tokens", number}, {"tokens_per_second", real64}, {"progress", real64}, {"eta_seconds", real64},
}

func (db *DB) queryRows() (out [][]any) {
	for _, q := range db.queries.running() {
		u := q.Usage
		seconds := time.Since(u.StartedAt).Seconds()
		var eta, speed any
		if q.progress > 0 {
			eta = seconds / q.progress * max(1-q.progress, 0)
		}
		if q.done > 0 {
			speed = float64(u.CompletionTokens) / seconds
		}
		out = append(out, []any{u.Query, orNull(u.User), orNull(q.client), q.sql, orNull(u.Function), orNull(u.Model),
			u.StartedAt, seconds, q.done, u.Rows, u.FailedRows, u.PromptTokens, u.CompletionTokens, speed, q.progress, eta})
	}
	return out
}

var usageColumns = []column{
	{"query", text}, {"user", text}, {"function", text}, {"model", text}, {"adapter", text},
	{"rows", number}, {"distinct_rows", number}, {"cached_rows", number}, {"proxy_rows", number}, {"failed_rows", number},
	{"prompt_tokens", number}, {"shared_tokens", number}, {"completion_tokens", number},
	{"queue_ms", real64}, {"prefill_ms", real64}, {"decode_ms", real64},
	{"started_at", instant}, {"finished_at", instant}, {"error", text},
}

func (db *DB) usageRows() (out [][]any) {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	for _, u := range db.catalog.Usage() {
		out = append(out, []any{u.Query, orNull(u.User), u.Function, u.Model, orNull(u.Adapter),
			u.Rows, u.DistinctRows, u.CachedRows, u.ProxyRows, u.FailedRows,
			u.PromptTokens, u.SharedTokens, u.CompletionTokens, ms(u.Queue), ms(u.Prefill), ms(u.Decode),
			u.StartedAt, u.FinishedAt, orNull(u.Error)})
	}
	return out
}

var cacheColumns = []column{
	{"entries", number}, {"bytes", number}, {"budget", number}, {"hits", number}, {"misses", number},
}

// cacheRows is one row, or none without a cache.
func (db *DB) cacheRows() [][]any {
	if db.cache == nil {
		return nil
	}
	s := db.cache.Stats()
	return [][]any{{s.Entries, s.Bytes, s.Budget, s.Hits, s.Misses}}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func orNone(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}
