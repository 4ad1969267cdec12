// FROM generate_rows(model, query, …): the query's rows, each with the answer to its
// prompt. It becomes a subquery with one call per row, whose answer is JSON.
#pragma once
#include "estimate.hpp"
#include "stream.hpp"
#include "duckdb/parser/expression/columnref_expression.hpp"
#include "duckdb/parser/expression/constant_expression.hpp"
#include "duckdb/parser/expression/function_expression.hpp"
#include "duckdb/parser/expression/star_expression.hpp"
#include "duckdb/parser/keyword_helper.hpp"
#include "duckdb/parser/query_node/select_node.hpp"
#include "duckdb/parser/tableref/subqueryref.hpp"

namespace hyprstream {

static constexpr idx_t QUERY_ARG = 1; //! after the model; what calls get there is the prompt
static const char *const PROMPT = "prompt";

//! The names of a SELECT's columns. It is bound where it will stand: it sees the same.
static vector<string> ColumnsOf(ClientContext &context, Binder &outer, const SelectStatement &select) {
	auto binder = Binder::CreateBinder(context, outer);
	auto node = select.node->Copy();
	return binder->Bind(*node).names;
}

static bool Contains(const vector<string> &names, const string &name) {
	return std::any_of(names.begin(), names.end(), [&](const string &n) { return StringUtil::CIEquals(n, name); });
}

static void CheckColumns(const StreamSpec &spec, const vector<string> &names) {
	if (!Contains(names, PROMPT)) {
		throw BinderException("[INVALID_ARGUMENT] the query of %s has no column \"%s\", only \"%s\"; name one so with AS", spec.name,
		                      PROMPT, StringUtil::Join(names, "\", \""));
	}
	for (auto &c : spec.column_names) {
		if (Contains(names, c)) {
			throw BinderException("[INVALID_ARGUMENT] the query of %s has a column \"%s\", which %s adds; give it another name with AS",
			                      spec.name, c, spec.name);
		}
	}
}

static unique_ptr<SelectStatement> SelectFrom(vector<unique_ptr<ParsedExpression>> columns, unique_ptr<SelectStatement> from,
                                              const string &alias) {
	auto node = make_uniq<SelectNode>();
	node->select_list = std::move(columns);
	node->from_table = make_uniq<SubqueryRef>(std::move(from), alias);
	auto r = make_uniq<SelectStatement>();
	r->node = std::move(node);
	return r;
}

static unique_ptr<TableRef> BindRows(ClientContext &context, TableFunctionBindInput &input) {
	auto &spec = input.info->Cast<StreamInfo>().spec;
	auto values = ArgumentsOf(input);
	if (values[QUERY_ARG].IsNull()) {
		throw BinderException("[INVALID_ARGUMENT] %s takes the text of one SELECT, not NULL", spec.name);
	}
	if (values[MODEL_ARG].type().id() == LogicalTypeId::SQLNULL) { // not given; a NULL that is has a type
		values[MODEL_ARG] = Value("");
	}
	auto select = unique_ptr_cast<SQLStatement, SelectStatement>(OneSelect(context, spec.name, StringValue::Get(values[QUERY_ARG])));
	auto names = ColumnsOf(context, *input.binder, *select);
	CheckColumns(spec, names);
	string answer = spec.name + " answer", rows = "rows";
	while (Contains(names, answer)) {
		answer += "_";
	}
	vector<unique_ptr<ParsedExpression>> arguments, inner, outer;
	for (idx_t a = 0; a < values.size(); a++) {
		if (a == QUERY_ARG) {
			arguments.push_back(make_uniq<ColumnRefExpression>(PROMPT, rows));
		} else {
			arguments.push_back(make_uniq<ConstantExpression>(values[a]));
		}
	}
	auto call = make_uniq<FunctionExpression>("__" + spec.name, std::move(arguments));
	call->SetAlias(answer);
	inner.push_back(make_uniq<StarExpression>());
	inner.push_back(std::move(call));
	auto others = make_uniq<StarExpression>();
	others->exclude_list.insert(QualifiedColumnName(answer));
	outer.push_back(std::move(others));
	for (idx_t i = 0; i < spec.column_names.size(); i++) {
		auto sql = "CAST(json_extract_string(" + KeywordHelper::WriteQuoted(answer, '"') + ", '$." + spec.column_names[i] + "') AS " +
		           spec.column_types[i].ToString() + ")";
		auto column = std::move(Parser::ParseExpressionList(sql)[0]);
		column->SetAlias(spec.column_names[i]);
		outer.push_back(std::move(column));
	}
	auto all = SelectFrom(std::move(outer), SelectFrom(std::move(inner), std::move(select), rows), rows);
	return make_uniq<SubqueryRef>(std::move(all), spec.name);
}
} // namespace hyprstream
