// Pulling calls out of one expression, with the conditions under which SQL
// would have evaluated them.
#pragma once
#include "functions.hpp"
#include "duckdb/planner/expression/bound_aggregate_expression.hpp"
#include "duckdb/planner/expression/bound_case_expression.hpp"
#include "duckdb/planner/expression/bound_columnref_expression.hpp"
#include "duckdb/planner/expression/bound_comparison_expression.hpp"
#include "duckdb/planner/expression/bound_conjunction_expression.hpp"
#include "duckdb/planner/expression/bound_constant_expression.hpp"
#include "duckdb/planner/expression/bound_function_expression.hpp"
#include "duckdb/planner/expression/bound_operator_expression.hpp"
#include "duckdb/planner/expression/bound_window_expression.hpp"
#include "duckdb/planner/expression_iterator.hpp"

namespace hyprstream {

//! A call that the operator may take.
bool IsLiftable(const Expression &e);
//! A liftable call is e, or anywhere inside.
bool HasLiftable(const Expression &e);
//! A liftable call is inside e, not e itself.
bool IsNested(const Expression &e);
bool References(const Expression &e, const ColumnBinding &b);

//! Moves liftable calls into requests and puts references to (table_index, position)
//! in their places. Takes only calls whose arguments hold no call and whose
//! conditions can be evaluated twice (what they were goes to calls); the others stay for another round, or run in place.
//! Of a predicate NULL is as good as false.
void Extract(unique_ptr<Expression> &e, idx_t table_index, vector<unique_ptr<Expression>> &requests, vector<Called> &calls,
             optional_ptr<const Expression> guard = nullptr, bool predicate = false);

bool IsLiftable(const Expression &e) {
	auto spec = IsCall(e);
	return spec && spec->lift;
}

bool HasLiftable(const Expression &e) {
	return IsLiftable(e) || IsNested(e);
}

bool IsNested(const Expression &e) {
	bool r = false;
	ExpressionIterator::EnumerateChildren(e, [&](const Expression &c) { r = r || HasLiftable(c); });
	return r;
}

bool References(const Expression &e, const ColumnBinding &b) {
	if (e.GetExpressionClass() == ExpressionClass::BOUND_COLUMN_REF) {
		return e.Cast<BoundColumnRefExpression>().binding == b;
	}
	bool r = false;
	ExpressionIterator::EnumerateChildren(e, [&](const Expression &c) { r = r || References(c, b); });
	return r;
}

//! Collects what must hold for the next branch to be evaluated. Usable only
//! while every condition gives the same value when it is evaluated again.
struct Guard {
	unique_ptr<Expression> condition; //! null: always
	bool usable = true;

	explicit Guard(optional_ptr<const Expression> outer) {
		if (outer) {
			condition = outer->Copy();
		}
	}
	void And(unique_ptr<Expression> c) {
		usable = usable && !c->IsVolatile();
		condition = condition ? make_uniq<BoundConjunctionExpression>(ExpressionType::CONJUNCTION_AND,
		                                                              std::move(condition), std::move(c))
		                      : std::move(c);
	}
	//! e is not the given boolean: it is the other one, or NULL.
	void AndNot(const Expression &e, bool value) {
		And(make_uniq<BoundComparisonExpression>(ExpressionType::COMPARE_DISTINCT_FROM, e.Copy(),
		                                         make_uniq<BoundConstantExpression>(Value::BOOLEAN(value))));
	}
	void AndNull(const Expression &e) {
		auto isnull = make_uniq<BoundOperatorExpression>(ExpressionType::OPERATOR_IS_NULL, LogicalType::BOOLEAN);
		isnull->children.push_back(e.Copy());
		And(std::move(isnull));
	}
};

static void Take(unique_ptr<Expression> &e, idx_t table_index, vector<unique_ptr<Expression>> &requests, vector<Called> &calls,
                 optional_ptr<const Expression> guard) {
	auto call = ToRequest(*e);
	auto ref = make_uniq<BoundColumnRefExpression>(call.name, call.type, ColumnBinding(table_index, requests.size()));
	calls.push_back(std::move(call));
	if (guard) {
		auto none = make_uniq<BoundConstantExpression>(Value(LogicalType::VARCHAR));
		e = make_uniq<BoundCaseExpression>(guard->Copy(), std::move(e), std::move(none));
	}
	requests.push_back(std::move(e));
	e = std::move(ref);
}

static void ExtractCase(BoundCaseExpression &c, idx_t ti, vector<unique_ptr<Expression>> &reqs, vector<Called> &calls,
                        optional_ptr<const Expression> outer) {
	Guard before(outer); // no earlier WHEN was true
	for (auto &check : c.case_checks) {
		if (!before.usable) {
			return;
		}
		Extract(check.when_expr, ti, reqs, calls, before.condition.get(), true);
		Guard then(before.condition.get());
		then.And(check.when_expr->Copy());
		if (then.usable) {
			Extract(check.then_expr, ti, reqs, calls, then.condition.get());
		}
		before.AndNot(*check.when_expr, true);
	}
	if (before.usable) {
		Extract(c.else_expr, ti, reqs, calls, before.condition.get());
	}
}

static void ExtractShortCircuit(vector<unique_ptr<Expression>> &children, ExpressionType type, idx_t ti,
                                vector<unique_ptr<Expression>> &reqs, vector<Called> &calls, optional_ptr<const Expression> outer,
                                bool predicate) {
	Guard before(outer);
	for (auto &c : children) {
		if (!before.usable) {
			return;
		}
		Extract(c, ti, reqs, calls, before.condition.get(), predicate);
		if (type == ExpressionType::OPERATOR_COALESCE) {
			before.AndNull(*c);
		} else if (predicate && type == ExpressionType::CONJUNCTION_AND) {
			before.And(c->Copy());
		} else {
			before.AndNot(*c, type == ExpressionType::CONJUNCTION_OR);
		}
	}
}

//! FILTER: what is aggregated is evaluated only for its rows.
static void ExtractFiltered(unique_ptr<Expression> &filter, vector<unique_ptr<Expression>> &children, idx_t ti,
                            vector<unique_ptr<Expression>> &reqs, vector<Called> &calls, optional_ptr<const Expression> outer) {
	Extract(filter, ti, reqs, calls, outer, true);
	Guard within(outer);
	within.And(filter->Copy());
	if (within.usable) {
		for (auto &c : children) {
			Extract(c, ti, reqs, calls, within.condition.get());
		}
	}
}

//! A condition may refer to an answer of this very round, which is not there yet.
static bool RefersToRound(const Expression &e, idx_t ti) {
	if (e.GetExpressionClass() == ExpressionClass::BOUND_COLUMN_REF) {
		return e.Cast<BoundColumnRefExpression>().binding.table_index == ti;
	}
	bool r = false;
	ExpressionIterator::EnumerateChildren(e, [&](const Expression &c) { r = r || RefersToRound(c, ti); });
	return r;
}

void Extract(unique_ptr<Expression> &e, idx_t ti, vector<unique_ptr<Expression>> &reqs, vector<Called> &calls,
             optional_ptr<const Expression> guard, bool predicate) {
	if (!HasLiftable(*e) || (guard && RefersToRound(*guard, ti))) {
		return;
	}
	if (IsLiftable(*e) && !IsNested(*e)) {
		// An argument that this round has just taken is answered only above it.
		if (!RefersToRound(*e, ti)) {
			Take(e, ti, reqs, calls, guard);
		}
		return;
	}
	switch (e->GetExpressionClass()) {
	case ExpressionClass::BOUND_CASE:
		return ExtractCase(e->Cast<BoundCaseExpression>(), ti, reqs, calls, guard);
	case ExpressionClass::BOUND_CONJUNCTION:
		return ExtractShortCircuit(e->Cast<BoundConjunctionExpression>().children, e->GetExpressionType(), ti, reqs, calls,
		                           guard, predicate);
	case ExpressionClass::BOUND_OPERATOR:
		if (e->GetExpressionType() == ExpressionType::OPERATOR_COALESCE) {
			return ExtractShortCircuit(e->Cast<BoundOperatorExpression>().children, e->GetExpressionType(), ti, reqs, calls,
			                           guard, false);
		}
		if (e->GetExpressionType() == ExpressionType::OPERATOR_TRY) {
			return; // TRY must see the error, so the call stays inside it
		}
		break;
	case ExpressionClass::BOUND_WINDOW: {
		auto &w = e->Cast<BoundWindowExpression>();
		if (!w.filter_expr) {
			break;
		}
		ExtractFiltered(w.filter_expr, w.children, ti, reqs, calls, guard);
		for (auto &c : w.partitions) {
			Extract(c, ti, reqs, calls, guard);
		}
		for (auto &o : w.orders) {
			Extract(o.expression, ti, reqs, calls, guard);
		}
		return;
	}
	case ExpressionClass::BOUND_AGGREGATE: {
		auto &a = e->Cast<BoundAggregateExpression>();
		if (!a.filter) {
			break;
		}
		return ExtractFiltered(a.filter, a.children, ti, reqs, calls, guard);
	}
	default:
		break;
	}
	ExpressionIterator::EnumerateChildren(*e, [&](unique_ptr<Expression> &c) { Extract(c, ti, reqs, calls, guard); });
}
} // namespace hyprstream
