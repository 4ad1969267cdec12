package flightsql

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"

	"hyprstream/errs"
)

// productName is what clients see as the database product.
const productName = "hyprstream"

// info is what the server says of itself; each line can be checked by a client.
func (s *service) info() map[flightsql.SqlInfo]any {
	version := s.opt.Version
	if version == "" {
		version = "0.0.0-dev"
	}
	return map[flightsql.SqlInfo]any{
		flightsql.SqlInfoFlightSqlServerName:                        productName,
		flightsql.SqlInfoFlightSqlServerVersion:                     version,
		flightsql.SqlInfoFlightSqlServerArrowVersion:                arrow.PkgVersion,
		flightsql.SqlInfoFlightSqlServerReadOnly:                    false,
		flightsql.SqlInfoFlightSqlServerSql:                         true,
		flightsql.SqlInfoFlightSqlServerSubstrait:                   false,
		flightsql.SqlInfoFlightSqlServerTransaction:                 int32(flightsql.SqlTransactionTransaction),
		flightsql.SqlInfoFlightSqlServerCancel:                      true,
		flightsql.SqlInfoFlightSqlServerBulkIngestion:               true,
		flightsql.SqlInfoFlightSqlServerIngestTransactionsSupported: true,
		flightsql.SqlInfoFlightSqlServerStatementTimeout:            int32(0), // none
		flightsql.SqlInfoFlightSqlServerTransactionTimeout:          int32(0), // none

		flightsql.SqlInfoDDLCatalog:                              false,
		flightsql.SqlInfoDDLSchema:                               true,
		flightsql.SqlInfoDDLTable:                                true,
		flightsql.SqlInfoIdentifierCase:                          int32(flightsql.SqlCaseSensitivityCaseInsensitive),
		flightsql.SqlInfoQuotedIdentifierCase:                    int32(flightsql.SqlCaseSensitivityCaseInsensitive),
		flightsql.SqlInfoIdentifierQuoteChar:                     `"`,
		flightsql.SqlInfoAllTablesAreASelectable:                 true,
		flightsql.SqlInfoNullOrdering:                            int32(flightsql.SqlNullOrderingSortAtEnd),
		flightsql.SqlInfoKeywords:                                keywords,
		flightsql.SqlInfoNumericFunctions:                        []string{"abs", "ceil", "exp", "floor", "greatest", "least", "ln", "log10", "log2", "mod", "pi", "power", "random", "round", "sign", "sqrt", "trunc"},
		flightsql.SqlInfoStringFunctions:                         []string{"chr", "concat", "contains", "left", "length", "lower", "lpad", "ltrim", "regexp_extract", "regexp_matches", "regexp_replace", "repeat", "replace", "reverse", "right", "rpad", "rtrim", "split_part", "strpos", "substring", "trim", "upper"},
		flightsql.SqlInfoSystemFunctions:                         []string{"current_database", "current_schema", "generate", "count_tokens", "version"},
		flightsql.SqlInfoDateTimeFunctions:                       []string{"current_date", "date_add", "date_diff", "date_part", "date_trunc", "extract", "now", "strftime", "strptime"},
		flightsql.SqlInfoSearchStringEscape:                      `\`,
		flightsql.SqlInfoExtraNameChars:                          "",
		flightsql.SqlInfoSupportsColumnAliasing:                  true,
		flightsql.SqlInfoNullPlusNullIsNull:                      true,
		flightsql.SqlInfoSupportsTableCorrelationNames:           true,
		flightsql.SqlInfoSupportsDifferentTableCorrelationNames:  false,
		flightsql.SqlInfoSupportsExpressionsInOrderBy:            true,
		flightsql.SqlInfoSupportsOrderByUnrelated:                true,
		flightsql.SqlInfoSupportedGroupBy:                        bits(int32(pb.SqlSupportedGroupBy_SQL_GROUP_BY_UNRELATED), int32(pb.SqlSupportedGroupBy_SQL_GROUP_BY_BEYOND_SELECT)),
		flightsql.SqlInfoSupportsLikeEscapeClause:                true,
		flightsql.SqlInfoSupportsNonNullableColumns:              true,
		flightsql.SqlInfoSupportedGrammar:                        bits(int32(pb.SupportedSqlGrammar_SQL_MINIMUM_GRAMMAR), int32(pb.SupportedSqlGrammar_SQL_CORE_GRAMMAR)),
		flightsql.SqlInfoANSI92SupportedLevel:                    bits(int32(pb.SupportedAnsi92SqlGrammarLevel_ANSI92_ENTRY_SQL)),
		flightsql.SqlInfoSupportsIntegrityEnhancementFacility:    true,
		flightsql.SqlInfoOuterJoinsSupportLevel:                  bits(int32(pb.SqlOuterJoinsSupportLevel_SQL_FULL_OUTER_JOINS)),
		flightsql.SqlInfoSchemaTerm:                              "schema",
		flightsql.SqlInfoProcedureTerm:                           "function",
		flightsql.SqlInfoCatalogTerm:                             "database",
		flightsql.SqlInfoCatalogAtStart:                          true,
		flightsql.SqlInfoSchemasSupportedActions:                 everywhere,
		flightsql.SqlInfoCatalogsSupportedActions:                everywhere,
		flightsql.SqlInfoSupportedPositionedCommands:             int32(0),
		flightsql.SqlInfoSelectForUpdateSupported:                false,
		flightsql.SqlInfoStoredProceduresSupported:               false,
		flightsql.SqlInfoSupportedSubqueries:                     bits(int32(pb.SqlSupportedSubqueries_SQL_SUBQUERIES_IN_COMPARISONS), int32(pb.SqlSupportedSubqueries_SQL_SUBQUERIES_IN_EXISTS), int32(pb.SqlSupportedSubqueries_SQL_SUBQUERIES_IN_INS), int32(pb.SqlSupportedSubqueries_SQL_SUBQUERIES_IN_QUANTIFIEDS)),
		flightsql.SqlInfoCorrelatedSubqueriesSupported:           true,
		flightsql.SqlInfoSupportedUnions:                         bits(int32(pb.SqlSupportedUnions_SQL_UNION), int32(pb.SqlSupportedUnions_SQL_UNION_ALL)),
		flightsql.SqlInfoMaxConnections:                          int64(s.opt.Sessions),
		flightsql.SqlInfoDefaultTransactionIsolation:             int32(pb.SqlTransactionIsolationLevel_SQL_TRANSACTION_REPEATABLE_READ),
		flightsql.SqlInfoTransactionsSupported:                   true,
		flightsql.SqlInfoSupportedTransactionsIsolationlevels:    bits(int32(pb.SqlTransactionIsolationLevel_SQL_TRANSACTION_REPEATABLE_READ)),
		flightsql.SqlInfoDataDefinitionCausesTransactionCommit:   false,
		flightsql.SqlInfoDataDefinitionsInTransactionsIgnored:    false,
		flightsql.SqlInfoSupportedResultSetTypes:                 bits(int32(pb.SqlSupportedResultSetType_SQL_RESULT_SET_TYPE_FORWARD_ONLY)),
		flightsql.SqlInfoBatchUpdatesSupported:                   true,
		flightsql.SqlInfoSavePointsSupported:                     false,
		flightsql.SqlInfoNamedParametersSupported:                true,
		flightsql.SqlInfoLocatorsUpdateCopy:                      true,
		flightsql.SqlInfoStoredFunctionsUsingCallSyntaxSupported: false,
	}
}

// everywhere: schema and catalog names may stand in definitions, statements and
// privilege commands alike.
const everywhere = int32(1<<pb.SqlSupportedElementActions_SQL_ELEMENT_IN_PROCEDURE_CALLS |
	1<<pb.SqlSupportedElementActions_SQL_ELEMENT_IN_INDEX_DEFINITIONS |
	1<<pb.SqlSupportedElementActions_SQL_ELEMENT_IN_PRIVILEGE_DEFINITIONS)

// keywords are those beyond SQL:2003 that JDBC tools should know of.
var keywords = []string{"ANTI", "ASOF", "ATTACH", "DESCRIBE", "DETACH", "EXCLUDE", "ILIKE", "LIMIT", "MACRO", "MODEL", "ADAPTER", "PIVOT", "POSITIONAL", "PRAGMA", "QUALIFY", "REPLACE", "SEMI", "SHOW", "SUMMARIZE", "UNPIVOT"}

// bits makes the bitmask of enum ordinals that SqlInfo wants.
func bits(ordinals ...int32) int32 {
	var mask int32
	for _, o := range ordinals {
		mask |= 1 << o
	}
	return mask
}

func (s *service) registerInfo() error {
	for id, value := range s.info() {
		if err := s.RegisterSqlInfo(id, value); err != nil {
			return errs.Wrap(err, errs.Internal, "flightsql.New", "SqlInfo")
		}
	}
	return nil
}

// sqlInfo answers the ids that are known and leaves out the others, as clients
// ask for whatever their version of the protocol lists. No ids means all.
func (s *service) sqlInfo(ids []uint32) (arrow.RecordBatch, error) {
	known := s.info()
	wanted := wantedInfo{}
	for _, id := range ids {
		if _, ok := known[flightsql.SqlInfo(id)]; ok {
			wanted = append(wanted, id)
		}
	}
	if len(ids) > 0 && len(wanted) == 0 {
		b := array.NewRecordBuilder(s.mem, schema_ref.SqlInfo)
		defer b.Release()
		return b.NewRecordBatch(), nil
	}
	if len(ids) == 0 {
		for id := range known {
			wanted = append(wanted, uint32(id))
		}
	}
	// The base implementation knows how to build the union.
	_, chunks, err := s.DoGetSqlInfo(context.Background(), wanted)
	if err != nil {
		return nil, err
	}
	var last flight.StreamChunk
	for chunk := range chunks {
		last = chunk
	}
	return last.Data, last.Err
}

type wantedInfo []uint32

func (w wantedInfo) GetInfo() []uint32 { return w }
