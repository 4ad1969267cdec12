import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Time;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Properties;

/**
 * Checks what the stock driver makes of each type, one line per check, exit code 1 when one fails. Arguments: the JDBC URL
 * and docs/types.md, whose JDBC column has the type's name, the class that getObject gives and what getString gives.
 */
public final class Types {
    private interface Setter {
        void set(PreparedStatement st) throws SQLException;
    }

    private interface Getter {
        Object get(ResultSet rows) throws SQLException;
    }

    /** What the driver (18.3.0) cannot bind: an error, not a wrong value. The check fails when it can. */
    private static final String REFUSED = "an SQLException";

    private static int failed = 0;
    private static Connection con;

    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.put("useEncryption", "false");
        con = DriverManager.getConnection(args[0], properties);
        table(Path.of(args[1]));
        getters();
        setters();
        con.close();
        System.exit(failed == 0 ? 0 : 1);
    }

    private static void check(String name, Object want, Object have) {
        boolean ok = Objects.equals(want, have);
        failed += ok ? 0 : 1;
        System.out.println((ok ? "ok    " : "FAIL  ") + name + (ok ? "" : ": want " + want + ", have " + have));
    }

    private static Object get(String expression, Getter getter) throws SQLException {
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT " + expression)) {
            rows.next();
            try {
                return getter.get(rows);
            } catch (RuntimeException e) {
                return e.getClass().getSimpleName();
            }
        }
    }

    /** The JDBC column of the document. */
    private static void table(Path document) throws Exception {
        int rows = 0;
        for (String line : Files.readAllLines(document)) {
            List<String> cells = new ArrayList<>(List.of(line.split(" *\\| *")));
            if (cells.size() != 8 || !cells.get(2).startsWith("`")) {
                continue;
            }
            rows++;
            String expression = cells.get(2).replace("`", "");
            String name = (String) get(expression, r -> r.getMetaData().getColumnTypeName(1));
            Object type = get(expression, r -> {
                Object value = r.getObject(1);
                return value == null ? "null" : value.getClass().getSimpleName();
            });
            String text = (String) get(expression, r -> r.getString(1));
            check(cells.get(1), cells.get(6), "`" + name + "` `" + type + "` `" + text + "`");
        }
        check("rows of the table", true, rows > 40);
    }

    private static void getters() throws SQLException {
        check("getBigDecimal of HUGEINT", new BigDecimal("-170141183460469231731687303715884105728"),
            get("'-170141183460469231731687303715884105728'::HUGEINT", r -> r.getBigDecimal(1)));
        check("getBigDecimal of UHUGEINT", new BigDecimal("340282366920938463463374607431768211455"),
            get("340282366920938463463374607431768211455::UHUGEINT", r -> r.getBigDecimal(1)));
        check("getLong of UINTEGER", 4294967295L, get("4294967295::UINTEGER", r -> r.getLong(1)));
        check("getDate", Date.valueOf("2024-02-29"), get("DATE '2024-02-29'", r -> r.getDate(1)));
        check("LocalDate", LocalDate.of(2024, 2, 29), get("DATE '2024-02-29'", r -> r.getObject(1, LocalDate.class)));
        check("getTime", "12:30:01", get("TIME '12:30:01'", r -> r.getTime(1).toString()));
        check("LocalTime", LocalTime.of(12, 30, 1), get("TIME '12:30:01'", r -> r.getObject(1, LocalTime.class)));
        check("getTimestamp", Timestamp.valueOf("2024-02-29 12:30:01.000000005"), get("TIMESTAMP_NS '2024-02-29 12:30:01.000000005'", r -> r.getTimestamp(1)));
        check("LocalDateTime", LocalDateTime.of(2024, 2, 29, 12, 30, 1, 5000), get("TIMESTAMP '2024-02-29 12:30:01.000005'", r -> r.getObject(1, LocalDateTime.class)));
        String zoned = "TIMESTAMPTZ '2024-02-29 12:30:01.000005+02'";
        Instant instant = Instant.parse("2024-02-29T10:30:01.000005Z");
        check("Instant of TIMESTAMPTZ", instant, get(zoned, r -> r.getObject(1, Instant.class)));
        check("OffsetDateTime of TIMESTAMPTZ", instant, ((OffsetDateTime) get(zoned, r -> r.getObject(1, OffsetDateTime.class))).toInstant());
        check("getTimestamp of TIMESTAMPTZ", instant, ((Timestamp) get(zoned, r -> r.getTimestamp(1))).toInstant());
        check("getBytes", "[0, -1, 0]", get("'\\x00\\xFF\\x00'::BLOB", r -> java.util.Arrays.toString(r.getBytes(1))));
        check("getArray", "[1.25, null]", get("[1.25, NULL]", r -> java.util.Arrays.toString((Object[]) r.getArray(1).getArray())));
        check("text with a NUL", "a\0b", get("'a' || chr(0) || 'b'", r -> r.getString(1)));
        for (String type : List.of("BOOLEAN", "UBIGINT", "DECIMAL(5, 2)", "VARCHAR", "BIT", "DATE", "TIME", "TIMESTAMP", "INTERVAL", "INTEGER[]", "STRUCT(a INTEGER)", "UUID")) {
            check("NULL of " + type, "null true", get("NULL::" + type, r -> r.getObject(1) + " " + r.wasNull()));
        }
    }

    /** Sets a parameter for a column of a type and reads it back as DuckDB's text. */
    private static void set(String type, String want, Setter setter) throws SQLException {
        String have;
        try (Statement st = con.createStatement()) {
            st.execute("CREATE OR REPLACE TEMP TABLE jdbc_types (v " + type + ")");
            try (PreparedStatement insert = con.prepareStatement("INSERT INTO jdbc_types VALUES (?)")) {
                setter.set(insert);
                insert.executeUpdate();
            }
            try (ResultSet rows = st.executeQuery("SELECT v::VARCHAR FROM jdbc_types")) {
                rows.next();
                have = rows.getString(1);
            }
        } catch (SQLException | RuntimeException e) {
            have = e.toString();
        }
        check("set " + type, want, REFUSED.equals(want) && have.startsWith("java.sql.SQLException") ? want : have);
    }

    /** Asks for an expression's text with a parameter. */
    private static void ask(String expression, String want, Setter setter) throws SQLException {
        String have;
        try (PreparedStatement st = con.prepareStatement("SELECT " + expression)) {
            setter.set(st);
            try (ResultSet rows = st.executeQuery()) {
                rows.next();
                have = rows.getString(1);
            }
        } catch (SQLException | RuntimeException e) {
            have = e.toString();
        }
        check("ask " + expression, want, REFUSED.equals(want) && have.startsWith("java.sql.SQLException") ? want : have);
    }

    private static void setters() throws SQLException {
        set("BOOLEAN", "true", st -> st.setBoolean(1, true));
        set("TINYINT", "-128", st -> st.setByte(1, (byte) -128));
        set("SMALLINT", "-32768", st -> st.setShort(1, (short) -32768));
        set("INTEGER", "7", st -> st.setInt(1, 7));
        set("BIGINT", "9223372036854775807", st -> st.setLong(1, Long.MAX_VALUE));
        set("UTINYINT", "255", st -> st.setShort(1, (short) 255));
        set("USMALLINT", "65535", st -> st.setInt(1, 65535));
        set("UINTEGER", "4294967295", st -> st.setLong(1, 4294967295L));
        set("UBIGINT", "18446744073709551615", st -> st.setBigDecimal(1, new BigDecimal("18446744073709551615")));
        set("HUGEINT", "12345678901234567890123456789012345678", st -> st.setBigDecimal(1, new BigDecimal("12345678901234567890123456789012345678")));
        set("UHUGEINT", "340282366920938463463374607431768211455", st -> st.setString(1, "340282366920938463463374607431768211455"));
        set("BIGNUM", "-12345678901234567890", st -> st.setString(1, "-12345678901234567890"));
        set("DECIMAL(10, 2)", "12.30", st -> st.setBigDecimal(1, new BigDecimal("12.30")));
        set("FLOAT", "1.5", st -> st.setFloat(1, 1.5f));
        set("DOUBLE", "2.5", st -> st.setDouble(1, 2.5));
        set("VARCHAR", "naïve 🚀", st -> st.setString(1, "naïve 🚀"));
        set("BLOB", "\\x00\\xFF", st -> st.setBytes(1, new byte[] {0, -1}));
        set("BIT", "101", st -> st.setString(1, "101"));
        set("UUID", "0189f7ad-2f9b-7c1e-8d3a-000000000001", st -> st.setString(1, "0189f7ad-2f9b-7c1e-8d3a-000000000001"));
        set("JSON", "{\"a\": [1]}", st -> st.setString(1, "{\"a\": [1]}"));
        set("ENUM ('sad', 'ok')", "ok", st -> st.setString(1, "ok"));
        set("DATE", "2024-02-29", st -> st.setDate(1, Date.valueOf("2024-02-29")));
        set("TIME", "12:30:01", st -> st.setTime(1, Time.valueOf("12:30:01")));
        set("TIMETZ", "12:30:01+02", st -> st.setString(1, "12:30:01+02"));
        set("TIMESTAMP", "2024-02-29 12:30:01", st -> st.setTimestamp(1, Timestamp.valueOf("2024-02-29 12:30:01")));
        set("TIMESTAMP_S", REFUSED, st -> st.setTimestamp(1, Timestamp.valueOf("2024-02-29 12:30:01")));
        set("TIMESTAMP_MS", "2024-02-29 12:30:01.005", st -> st.setTimestamp(1, Timestamp.valueOf("2024-02-29 12:30:01.005")));
        set("TIMESTAMP_NS", "2024-02-29 12:30:01.005", st -> st.setTimestamp(1, Timestamp.valueOf("2024-02-29 12:30:01.005")));
        set("TIMESTAMPTZ", "2024-02-29 12:30:01+00", st -> st.setTimestamp(1, Timestamp.from(Instant.parse("2024-02-29T12:30:01Z"))));
        String wall = "2024-02-29 12:30:01.005";
        ask("?::TIMESTAMP", wall, st -> st.setTimestamp(1, Timestamp.valueOf(wall)));
        ask("?", REFUSED, st -> st.setTimestamp(1, Timestamp.valueOf(wall)));
        ask("TIMESTAMP '" + wall + "' = ?", "true", st -> st.setTimestamp(1, Timestamp.valueOf(wall)));
        ask("TIMESTAMPTZ '" + wall + "+00' = ?", "true", st -> st.setTimestamp(1, Timestamp.from(Instant.parse("2024-02-29T12:30:01.005Z"))));
        ask("TIME '12:30:01' = ?", "true", st -> st.setTime(1, Time.valueOf("12:30:01")));
        ask("?::TIME", "12:30:01", st -> st.setTime(1, Time.valueOf("12:30:01")));
        ask("DATE '2024-02-29' = ?", "true", st -> st.setDate(1, Date.valueOf("2024-02-29")));
        ask("TIMESTAMP '2024-02-29' = ?", REFUSED, st -> st.setDate(1, Date.valueOf("2024-02-29")));
        set("TIMESTAMP", REFUSED, st -> st.setDate(1, Date.valueOf("2024-02-29")));
        set("TIMESTAMP", REFUSED, st -> st.setString(1, wall));
        set("TIMESTAMP", wall, st -> st.setObject(1, Timestamp.valueOf(wall)));
        set("INTEGER[]", "[1, 2]", st -> st.setArray(1, con.createArrayOf("INTEGER", new Object[] {1, 2})));
        set("VARCHAR", null, st -> st.setString(1, null));
        set("INTEGER", null, st -> st.setNull(1, java.sql.Types.INTEGER));
        set("UUID", null, st -> st.setNull(1, java.sql.Types.VARCHAR));
    }
}
