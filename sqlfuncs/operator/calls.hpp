// What a statement's text gives the calls of a function, for errors that say what
// is wrong: DuckDB only says that something is.
#pragma once
#include "duckdb/common/string_util.hpp"
#include "duckdb/parser/expression/function_expression.hpp"
#include "duckdb/parser/expression/subquery_expression.hpp"
#include "duckdb/parser/parsed_data/create_table_info.hpp"
#include "duckdb/parser/parsed_data/create_view_info.hpp"
#include "duckdb/parser/parsed_data/copy_info.hpp"
#include "duckdb/parser/parsed_expression_iterator.hpp"
#include "duckdb/parser/parser.hpp"
#include "duckdb/parser/query_node/select_node.hpp"
#include "duckdb/parser/statement/copy_statement.hpp"
#include "duckdb/parser/statement/create_statement.hpp"
#include "duckdb/parser/statement/explain_statement.hpp"
#include "duckdb/parser/statement/insert_statement.hpp"
#include "duckdb/parser/statement/prepare_statement.hpp"
#include "duckdb/parser/statement/select_statement.hpp"
#include "duckdb/parser/statement/update_statement.hpp"

namespace hyprstream {

//! Collects a line for each call of a function: how many arguments have no name,
//! and the names of the others, apart by tabs.
struct CallFinder {
	string name, lines;

	void Node(QueryNode &n) {
		ParsedExpressionIterator::EnumerateQueryNodeChildren(n, [&](unique_ptr<ParsedExpression> &e) { Expr(*e); });
	}
	void Expr(ParsedExpression &e) {
		if (e.GetExpressionClass() == ExpressionClass::FUNCTION) {
			auto &f = e.Cast<FunctionExpression>();
			if (StringUtil::CIEquals(f.function_name, name)) {
				idx_t unnamed = 0;
				string names;
				for (auto &c : f.children) {
					unnamed += c->GetAlias().empty();
					names += c->GetAlias().empty() ? "" : "\t" + c->GetAlias();
				}
				lines += to_string(unnamed) + names + "\n";
			}
		} else if (e.GetExpressionClass() == ExpressionClass::SUBQUERY) {
			Node(*e.Cast<SubqueryExpression>().subquery->node);
		}
		ParsedExpressionIterator::EnumerateChildren(e, [&](ParsedExpression &c) { Expr(c); });
	}
	void Statement(SQLStatement &s) {
		switch (s.type) {
		case StatementType::SELECT_STATEMENT:
			return Node(*s.Cast<SelectStatement>().node);
		case StatementType::EXPLAIN_STATEMENT:
			return Statement(*s.Cast<ExplainStatement>().stmt);
		case StatementType::PREPARE_STATEMENT:
			return Statement(*s.Cast<PrepareStatement>().statement);
		case StatementType::INSERT_STATEMENT:
			return Select(s.Cast<InsertStatement>().select_statement);
		case StatementType::UPDATE_STATEMENT:
			for (auto &e : s.Cast<UpdateStatement>().set_info->expressions) {
				Expr(*e);
			}
			return;
		case StatementType::COPY_STATEMENT:
			if (auto &n = s.Cast<CopyStatement>().info->select_statement) {
				Node(*n);
			}
			return;
		case StatementType::CREATE_STATEMENT: {
			auto &info = *s.Cast<CreateStatement>().info;
			if (info.type == CatalogType::TABLE_ENTRY) {
				return Select(info.Cast<CreateTableInfo>().query);
			}
			if (info.type == CatalogType::VIEW_ENTRY) {
				return Select(info.Cast<CreateViewInfo>().query);
			}
			return;
		}
		default:
			return;
		}
	}
	void Select(unique_ptr<SelectStatement> &s) {
		if (s) {
			Node(*s->node);
		}
	}
};
} // namespace hyprstream

extern "C" char *hs_calls(const char *sql, size_t n, const char *name) {
	hyprstream::CallFinder finder {name, ""};
	try {
		duckdb::Parser parser;
		parser.ParseQuery(std::string(sql, n));
		for (auto &s : parser.statements) {
			finder.Statement(*s);
		}
	} catch (...) { // it only helps a message
	}
	return strdup(finder.lines.c_str());
}
