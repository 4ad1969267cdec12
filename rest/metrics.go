package rest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hyprstream/database"
)

const (
	scrapeTime = 10 * time.Second // the default patience of Prometheus
	maxScrapes = 4                // at once
)

// source is a table whose rows are metrics. More metrics are more lines.
type source struct {
	prefix, from string
	label        string // column and label that tells rows apart; "" where there is one row
	metrics      []metric
}

// metric is a number of each row, where it is not NULL.
type metric struct {
	name  string // after the source's prefix
	value string // SQL over the source's columns
	kind  prometheus.ValueType
	help  string
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

var sources = []source{
	{"hyprstream_engine_", "ai.engines", "model", []metric{
		{"up", "state = 'ready'", gauge, "Whether the model is loaded: its process runs."},
		{"bytes", "bytes", gauge, "Resident memory of the model's process."},
		{"slots", "slots", gauge, "Sequences that can be decoded side by side."},
		{"busy_slots", "busy", gauge, "Slots in use."},
		{"queued", "queued", gauge, "Rows waiting for a slot."},
		{"restarts_total", "restarts", counter, "Processes started again after one died."},
		{"steps_total", "steps", counter, "Decode calls of the process."},
		{"prompt_tokens_total", "prompt_tokens", counter, "Prompt tokens of all rows; less the shared ones they were computed."},
		{"shared_tokens_total", "shared_tokens", counter, "Prompt tokens taken from a prefix that was computed before."},
		{"completion_tokens_total", "completion_tokens", counter, "Tokens generated."},
		{"prefill_seconds_total", "prefill_seconds", counter, "Time spent on prompts."},
		{"decode_seconds_total", "decode_seconds", counter, "Time spent on completions."},
		{"decoded_tokens_total", "decoded_tokens", counter, "Tokens that the model computed."},
		{"slot_use_ratio", "slot_use", gauge, "Share of slots that were busy, over all steps of the process."},
		{"step_seconds_total", "step_seconds", counter, "Time of all steps."},
		{"sample_seconds_total", "sample_seconds", counter, "Of it: choosing tokens, and scoring."},
		{"overhead_seconds_total", "overhead_seconds", counter, "Of it: neither computing nor choosing."},
		{"prefixes", "prefixes", gauge, "Shared prefixes that are kept."},
		{"prefix_bytes", "prefix_bytes", gauge, "Their memory."},
	}},
	{"hyprstream_cache_", "ai.cache", "", []metric{
		{"entries", "entries", gauge, "Answers kept by cache := 'persistent'."},
		{"bytes", "bytes", gauge, "What they take on disk, about."},
		{"budget_bytes", "budget", gauge, "What they may take: serve --cache-size."},
		{"hits_total", "hits", counter, "Answers found in the cache."},
		{"misses_total", "misses", counter, "Answers looked for in vain."},
	}},
	{"hyprstream_", "(SELECT count(*) AS n FROM ai.queries WHERE client IS DISTINCT FROM '" + metricsClient + "')", "", []metric{
		{"statements_running", "n", gauge, "SQL statements that run now, of all clients."},
	}},
}

// metricsClient is the name of scrapes in ai.queries.
const metricsClient = "metrics"

// metricsHandler answers in Prometheus' text format: the sources, and the Go
// runtime's and the server process's own metrics.
func metricsHandler(db *database.DB, log *slog.Logger) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &tables{db})
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), MaxRequestsInFlight: maxScrapes,
	})
}

// tables collects the sources. Its sessions are not counted among the requests':
// a server that is busy with those is the one to look at.
type tables struct{ db *database.DB }

// Describe implements prometheus.Collector: what there is depends on the rows.
func (t *tables) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. A failure fails the scrape.
func (t *tables) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	sess, err := t.db.Session(ctx, database.SessionOptions{Client: metricsClient})
	if err == nil {
		defer sess.Close()
		for i := 0; i < len(sources) && err == nil; i++ {
			err = sources[i].collect(ctx, sess, out)
		}
	}
	if err != nil {
		out <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
	}
}

// statement selects the label, if any, and each metric's value as DOUBLE.
func (s *source) statement() string {
	var columns []string
	if s.label != "" {
		columns = append(columns, s.label)
	}
	for _, m := range s.metrics {
		columns = append(columns, fmt.Sprintf("(%s)::DOUBLE", m.value))
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + s.from
}

func (s *source) collect(ctx context.Context, sess *database.Session, out chan<- prometheus.Metric) error {
	res, err := sess.Query(ctx, s.statement())
	if err != nil {
		return err
	}
	defer res.Release()
	var names []string
	if s.label != "" {
		names = []string{s.label}
	}
	return eachRow(ctx, res, func(b arrow.RecordBatch, i int) error {
		var labels []string
		if s.label != "" {
			labels = []string{stringAt(b, 0, i)}
		}
		for c, m := range s.metrics {
			if v, ok := b.Column(c + len(labels)).(*array.Float64); ok && v.IsValid(i) {
				out <- prometheus.MustNewConstMetric(prometheus.NewDesc(s.prefix+m.name, m.help, names, nil), m.kind, v.Value(i), labels...)
			}
		}
		return nil
	})
}
