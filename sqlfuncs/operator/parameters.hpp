// A statement with several rows of parameters, as one statement over all of them: its
// parameters become columns of a table in front of it. Thousands of prompts bound at
// once are then one batch for the model, and INSERT … VALUES runs once.
#pragma once
#include "duckdb/common/types/column/column_data_collection.hpp"
#include "duckdb/execution/physical_operator.hpp"
#include "duckdb/execution/physical_plan_generator.hpp"
#include "duckdb/main/capi/capi_internal.hpp"
#include "duckdb/main/prepared_statement_data.hpp"
#include "duckdb/parser/expression/columnref_expression.hpp"
#include "duckdb/parser/expression/constant_expression.hpp"
#include "duckdb/parser/expression/parameter_expression.hpp"
#include "duckdb/parser/expression/star_expression.hpp"
#include "duckdb/parser/expression/subquery_expression.hpp"
#include "duckdb/parser/parsed_expression_iterator.hpp"
#include "duckdb/parser/query_node/select_node.hpp"
#include "duckdb/parser/result_modifier.hpp"
#include "duckdb/parser/statement/insert_statement.hpp"
#include "duckdb/parser/statement/select_statement.hpp"
#include "duckdb/parser/tableref/column_data_ref.hpp"
#include "duckdb/parser/tableref/emptytableref.hpp"
#include "duckdb/parser/tableref/expressionlistref.hpp"
#include "duckdb/parser/tableref/joinref.hpp"
#include "duckdb/parser/tableref/subqueryref.hpp"

namespace hyprstream {

//! The rows of parameters.
struct ParameterRows {
	shared_ptr<ColumnDataCollection> rows; //! a column per parameter, then the row's number
	vector<bool> same;                     //! per parameter: all rows have its value of the first
	vector<Value> first;
	case_insensitive_map_t<idx_t> index; //! parameter's position by its name

	static constexpr const char *TABLE = "__parameters";
	static constexpr const char *ROW = "__row";

	static string Column(idx_t i) { return "p" + to_string(i + 1); }

	unique_ptr<TableRef> Table() const {
		vector<string> names;
		for (idx_t i = 0; i < first.size(); i++) {
			names.push_back(Column(i));
		}
		names.push_back(ROW);
		auto ref = make_uniq<ColumnDataRef>(optionally_owned_ptr<ColumnDataCollection>(rows), std::move(names));
		ref->alias = TABLE;
		return std::move(ref);
	}
};

//! Replaces the parameters of a statement.
struct ParameterReplacer {
	const ParameterRows &with;
	bool first_row = false; //! only the first row's values, as constants everywhere
	bool failed = false;    //! one stands where no column can

	void Replace(unique_ptr<ParsedExpression> &e, bool column_allowed) {
		auto i = with.index.at(e->Cast<ParameterExpression>().identifier);
		unique_ptr<ParsedExpression> to;
		if (first_row || with.same[i]) {
			to = make_uniq<ConstantExpression>(with.first[i]);
		} else if (column_allowed) {
			to = make_uniq<ColumnRefExpression>(ParameterRows::Column(i), ParameterRows::TABLE);
		} else {
			failed = true;
			return;
		}
		to->SetAlias(e->GetAlias());
		e = std::move(to);
	}
	void Expression(unique_ptr<ParsedExpression> &e, bool top) {
		if (!e) {
			return;
		}
		if (e->GetExpressionClass() == ExpressionClass::PARAMETER) {
			return Replace(e, top);
		}
		if (e->GetExpressionClass() == ExpressionClass::SUBQUERY) {
			Node(*e->Cast<SubqueryExpression>().subquery->node);
		}
		ParsedExpressionIterator::EnumerateChildren(*e, [&](unique_ptr<ParsedExpression> &c) { Expression(c, top); });
	}
	//! A query inside the statement: no columns there.
	void Node(QueryNode &n) {
		ParsedExpressionIterator::EnumerateQueryNodeChildren(n, [&](unique_ptr<ParsedExpression> &e) { Expression(e, false); });
	}
	//! The statement's own query: columns may stand in its expressions.
	void Top(SelectNode &n) {
		for (auto &e : n.select_list) {
			Expression(e, true);
		}
		for (auto &e : n.groups.group_expressions) {
			Expression(e, true);
		}
		Expression(n.where_clause, true);
		Expression(n.having, true);
		Expression(n.qualify, true);
		Node(n); // what is left: FROM, modifiers, CTEs
	}
};

//! The query whose rows a statement gives or inserts, nullptr where it has no such.
static unique_ptr<QueryNode> *QueryOf(SQLStatement &s) {
	switch (s.type) {
	case StatementType::SELECT_STATEMENT:
		return &s.Cast<SelectStatement>().node;
	case StatementType::INSERT_STATEMENT: {
		auto &i = s.Cast<InsertStatement>();
		// With a conflict's resolution or RETURNING, rows that follow each other see each other.
		if (!i.select_statement || i.on_conflict_info || !i.returning_list.empty() || !i.cte_map.map.empty()) {
			return nullptr;
		}
		return &i.select_statement->node;
	}
	default:
		return nullptr;
	}
}

//! INSERT … VALUES (one row) as a SELECT without FROM.
static void ValuesAsSelect(SelectNode &n) {
	if (n.from_table->type != TableReferenceType::EXPRESSION_LIST) {
		return;
	}
	auto &list = n.from_table->Cast<ExpressionListRef>();
	if (list.values.size() != 1 || n.select_list.size() != 1 || n.select_list[0]->GetExpressionClass() != ExpressionClass::STAR) {
		return;
	}
	for (auto &v : list.values[0]) {
		if (v->GetExpressionClass() == ExpressionClass::DEFAULT) {
			return;
		}
	}
	auto values = std::move(list.values[0]);
	n.select_list = std::move(values);
	n.from_table = make_uniq<EmptyTableRef>();
}

//! An operator that sees rows together, so that rows of parameters must be kept apart.
static bool Mixes(const PhysicalOperator &op) {
	switch (op.type) {
	case PhysicalOperatorType::UNGROUPED_AGGREGATE:
	case PhysicalOperatorType::HASH_GROUP_BY:
	case PhysicalOperatorType::PERFECT_HASH_GROUP_BY:
	case PhysicalOperatorType::PARTITIONED_AGGREGATE:
	case PhysicalOperatorType::WINDOW:
	case PhysicalOperatorType::STREAMING_WINDOW:
	case PhysicalOperatorType::ORDER_BY:
	case PhysicalOperatorType::TOP_N:
	case PhysicalOperatorType::LIMIT:
	case PhysicalOperatorType::STREAMING_LIMIT:
	case PhysicalOperatorType::LIMIT_PERCENT:
	case PhysicalOperatorType::RESERVOIR_SAMPLE:
	case PhysicalOperatorType::STREAMING_SAMPLE:
		return true;
	default:
		break;
	}
	for (auto &c : op.GetChildren()) {
		if (Mixes(c.get())) {
			return true;
		}
	}
	return false;
}

//! Columns are named by their text, which is about to change.
static void KeepNames(SelectNode &n) {
	for (auto &e : n.select_list) {
		if (e->GetExpressionClass() != ExpressionClass::STAR && e->GetExpressionClass() != ExpressionClass::COLUMN_REF) {
			e->SetAlias(e->GetName());
		}
	}
}

//! The query as a lateral join with the parameters, in their order.
static unique_ptr<QueryNode> Lateral(const ParameterRows &rows, unique_ptr<QueryNode> query) {
	auto select = make_uniq<SelectStatement>();
	select->node = std::move(query);
	auto join = make_uniq<JoinRef>(JoinRefType::CROSS);
	join->left = rows.Table();
	join->right = make_uniq<SubqueryRef>(std::move(select), "__query");
	auto node = make_uniq<SelectNode>();
	node->select_list.push_back(make_uniq<StarExpression>("__query"));
	node->from_table = std::move(join);
	auto order = make_uniq<OrderModifier>();
	order->orders.emplace_back(OrderType::ASCENDING, OrderByNullType::NULLS_LAST,
	                           make_uniq<ColumnRefExpression>(ParameterRows::ROW, ParameterRows::TABLE));
	node->modifiers.push_back(std::move(order));
	return std::move(node);
}

//! Prepares s, which has no parameters left; nullptr where it does not bind.
static unique_ptr<PreparedStatement> PrepareWithout(Connection &conn, unique_ptr<SQLStatement> s) {
	s->named_param_map.clear();
	auto p = conn.Prepare(std::move(s));
	return p->HasError() ? nullptr : std::move(p);
}

//! One statement for all rows of parameters; nullptr where they are to be executed one by
//! one: a parameter decides how many rows there are or stands in an inner query, say.
static unique_ptr<PreparedStatement> Together(Connection &conn, PreparedStatementData &data, const ParameterRows &rows) {
	auto copy = data.unbound_statement->Copy();
	auto query = QueryOf(*copy);
	if (!query || (*query)->type != QueryNodeType::SELECT_NODE || !(*query)->modifiers.empty() || !(*query)->cte_map.map.empty()) {
		return nullptr;
	}
	auto &node = (*query)->Cast<SelectNode>();
	KeepNames(node);
	bool insert = copy->type == StatementType::INSERT_STATEMENT;
	if (insert) {
		ValuesAsSelect(node);
	}
	if (node.sample) {
		return nullptr;
	}
	ParameterReplacer replacer {rows};
	replacer.Top(node);
	if (replacer.failed) {
		return nullptr;
	}
	unique_ptr<PreparedStatement> all;
	if (node.from_table->type == TableReferenceType::EMPTY_FROM && node.groups.grouping_sets.empty() && !node.having && !node.qualify) {
		auto simple = copy->Copy();
		(*QueryOf(*simple))->Cast<SelectNode>().from_table = rows.Table();
		all = PrepareWithout(conn, std::move(simple));
		if (all && Mixes(all->data->physical_plan->Root())) {
			all = nullptr;
		}
	}
	if (!all) {
		*query = Lateral(rows, std::move(*query));
		all = PrepareWithout(conn, std::move(copy));
	}
	if (!all) {
		return nullptr;
	}
	if (insert) {
		return all;
	}
	// What one row gives, as DuckDB binds a statement anew to values it has not seen.
	auto one = data.unbound_statement->Copy();
	auto &first = (*QueryOf(*one))->Cast<SelectNode>();
	KeepNames(first);
	ParameterReplacer constants {rows, true};
	constants.Node(first);
	auto alone = PrepareWithout(conn, std::move(one));
	if (!alone || alone->data->types != all->data->types || alone->data->names.size() != all->data->names.size()) {
		return nullptr;
	}
	all->data->names = alone->data->names; // a join's columns have names apart
	return all;
}

static ParameterRows ReadParameters(PreparedStatement &statement, DataChunk **chunks, idx_t n) {
	ParameterRows r;
	r.index = case_insensitive_map_t<idx_t>();
	for (auto &kv : statement.named_param_map) {
		r.index[kv.first] = kv.second - 1;
	}
	auto types = chunks[0]->GetTypes();
	auto params = types.size();
	for (idx_t c = 0; c < params; c++) {
		r.first.push_back(chunks[0]->GetValue(c, 0));
		r.same.push_back(true);
	}
	types.push_back(LogicalType::BIGINT);
	r.rows = make_shared_ptr<ColumnDataCollection>(Allocator::DefaultAllocator(), types);
	int64_t row = 0;
	DataChunk out;
	for (idx_t i = 0; i < n; i++) {
		auto &in = *chunks[i];
		for (idx_t c = 0; c < params; c++) {
			for (idx_t k = 0; r.same[c] && k < in.size(); k++) {
				r.same[c] = Value::NotDistinctFrom(in.GetValue(c, k), r.first[c]);
			}
		}
		out.InitializeEmpty(types);
		for (idx_t c = 0; c < params; c++) {
			out.data[c].Reference(in.data[c]);
		}
		Vector numbers(LogicalType::BIGINT);
		numbers.Sequence(row, 1, in.size());
		out.data[params].Reference(numbers);
		out.SetCardinality(in.size());
		r.rows->Append(out);
		row += int64_t(in.size());
		out.Destroy();
	}
	return r;
}
} // namespace hyprstream

extern "C" void *hs_together(void *conn, void *prepared, void **chunks, size_t n) {
	using namespace hyprstream;
	try {
		auto &connection = *reinterpret_cast<duckdb::Connection *>(conn);
		auto &wrapper = *reinterpret_cast<duckdb::PreparedStatementWrapper *>(prepared);
		if (n == 0 || !wrapper.statement || !wrapper.statement->data) {
			return nullptr;
		}
		auto rows = ReadParameters(*wrapper.statement, reinterpret_cast<DataChunk **>(chunks), n);
		auto all = Together(connection, *wrapper.statement->data, rows);
		if (!all) {
			return nullptr;
		}
		auto out = make_uniq<duckdb::PreparedStatementWrapper>();
		out->statement = std::move(all);
		return out.release();
	} catch (...) { // nothing has run: the rows are executed one by one, which says what is wrong
		return nullptr;
	}
}

extern "C" void *hs_null(void *type) { return new duckdb::Value(*reinterpret_cast<duckdb::LogicalType *>(type)); }
